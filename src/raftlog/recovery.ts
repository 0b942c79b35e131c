/**
 * Reads a log back from its files, and decides between the end of a log, a torn last write, and damage:
 *
 * 1. A segment that has its name was complete to its first group: the name came after the sync (persister.ts). So a
 *    bad header or a bad first group is damage, always.
 * 2. The end of every segment but the last is what the next one's header says. What stands after that was replaced
 *    or torn before and is ignored; a group that is missing or bad before it is damage.
 * 3. In the last segment, zeros to the end are the end. Other bytes are a torn write when no header of a later group
 *    stands anywhere after them, because group n is written only after group n - 1 was synced; else they are damage.
 *
 * Nothing is changed on the disk here.
 */

import type { Disk, DiskFile } from "../env/disk.ts";
import { assert } from "../lib/assert.ts";
import type { Bytes } from "../lib/bytes.ts";
import { DecodeError } from "../lib/codec.ts";
import type { HardState, Index } from "../raft/types.ts";
import { damaged } from "./damage.ts";
import { groupHeaderBytes, groupSeed } from "./group.ts";
import { endOfContent, findGroup, GroupReader } from "./group-reader.ts";
import { LogMap } from "./log-map.ts";
import type { LogOwner } from "./options.ts";
import { RecordReader } from "./records.ts";
import { decodeSegmentHeader, firstGroupOfName, type SegmentHeader, segmentHeaderBytes } from "./segment.ts";
import { StoredSegment } from "./stored-segment.ts";

/** One read of a file. Larger ones are not faster, smaller ones are. */
const chunkBytes = 1024 * 1024;

/** The last group of a log, and the state before it: what a segment that repeats it has to say. */
export interface LastGroup {
  readonly path: string;
  readonly offset: number;
  readonly payloadBytes: number;
  readonly number: number;
  /** Of the group before it, also where numbers were skipped. */
  readonly afterGroup: number;
  readonly link: number;
  /** Of its first entry, or of the one that would follow when it has none. */
  readonly firstIndex: Index;
  readonly hardStateBefore: HardState;
}

/** Bytes at the end of the log that are no whole group: a write that a crash has cut. */
export interface TornWrite {
  readonly path: string;
  readonly offset: number;
  readonly bytes: number;
  /** The number that the group would have had. */
  readonly group: number;
}

export interface RecoveredLog {
  readonly map: LogMap;
  readonly hardState: HardState;
  readonly last: LastGroup;
  /** Files whose groups were all replaced by a later segment. */
  readonly obsoletePaths: readonly string[];
}

/** The log in a folder, or undefined when there is none. Throws CORRUPTION, FORMAT or IDENTITY as described above. */
export function recoverLog(
  disk: Disk,
  folder: string,
  owner: LogOwner,
  report: (line: string) => void,
): RecoveredLog | undefined {
  const obsoletePaths: string[] = [];
  const segments = chainOf(readSegments(disk, folder, owner), obsoletePaths);
  if (segments.length === 0) return undefined;
  const scan = new LogScan(disk, groupSeed(owner));
  for (let at = 0; at < segments.length; at++) scan.segment(segments[at]!, segments[at + 1]);
  assert(scan.last !== undefined, "every segment has a first group");
  if (scan.torn !== undefined)
    report(
      `Cut a torn write off the Raft log: "${scan.torn.path}" at byte ${scan.torn.offset}, ${scan.torn.bytes} bytes ` +
        `of group ${scan.torn.group}, which was never acknowledged`,
    );
  return { map: scan.map, hardState: scan.hardState, last: scan.last, obsoletePaths };
}

/** The segments of a folder in the order of their groups. */
export function readSegments(disk: Disk, folder: string, owner: LogOwner): StoredSegment[] {
  const segments: StoredSegment[] = [];
  for (const name of disk.list(folder))
    if (name.endsWith(".log")) segments.push(readSegment(disk, folder, name, owner));
  return segments.sort((a, b) => a.header.firstGroup - b.header.firstGroup);
}

/** A file that is called as a segment, as far as its header tells. */
export function readSegment(disk: Disk, folder: string, name: string, owner: LogOwner): StoredSegment {
  const path = `${folder}/${name}`;
  if (firstGroupOfName(name) === undefined)
    throw damaged(path, 0, "segments only in this folder", "another name");
  const file = disk.open(path, "read");
  try {
    const header = decodeSegmentHeader(file.read(0, segmentHeaderBytes), path, name, owner);
    return new StoredSegment(path, header, file.size());
  } finally {
    file.close();
  }
}

/** Leaves out the segments that begin after the group that a later segment follows: all of theirs were replaced. */
export function chainOf(segments: readonly StoredSegment[], obsoletePaths: string[]): StoredSegment[] {
  const chain: StoredSegment[] = [];
  let lastGroup = Number.MAX_SAFE_INTEGER;
  for (const segment of segments.toReversed()) {
    if (segment.header.firstGroup > lastGroup) {
      obsoletePaths.push(segment.path);
      continue;
    }
    chain.push(segment);
    lastGroup = segment.header.afterGroup;
  }
  return chain.reverse();
}

/** Goes through the groups of all segments in order, and checks everything that was written twice. */
export class LogScan {
  readonly map = new LogMap();
  hardState: HardState = { term: 0, vote: undefined, commit: 0 };
  torn: TornWrite | undefined;
  last: LastGroup | undefined;
  readonly #disk: Disk;
  readonly #seed: number;
  /** The group that was read last, and its headerCrc. */
  #number = 0;
  #link = 0;

  constructor(disk: Disk, seed: number) {
    this.#disk = disk;
    this.#seed = seed;
  }

  /** Reads a segment up to the group that `next` follows, or to the end of the log. */
  segment(segment: StoredSegment, next: StoredSegment | undefined): void {
    if (this.last === undefined) this.#startFrom(segment.header);
    else this.#checkHeader(segment);
    this.map.beginSegment(segment);
    const file = this.#disk.open(segment.path, "read");
    try {
      const limit = segment.fileBytes;
      const reader = new GroupReader(file, segment.path, segmentHeaderBytes, limit, this.#seed, chunkBytes);
      const lastNumber = next?.header.afterGroup ?? Number.MAX_SAFE_INTEGER;
      let number = segment.header.firstGroup;
      for (; number <= lastNumber && this.#group(segment, reader, number); number++);
      if (number <= lastNumber) this.#checkEnd(segment, file, reader, number, next);
    } finally {
      file.close();
    }
  }

  /** The first segment: what came before it was dropped, and its header restates what that had led to. */
  #startFrom(header: SegmentHeader): void {
    this.#number = header.afterGroup;
    this.#link = header.link;
    this.hardState = header.hardState;
  }

  #checkHeader(segment: StoredSegment): void {
    const { afterGroup, link, firstIndex, previousTerm, hardState } = segment.header;
    const state = this.hardState;
    if (afterGroup !== this.#number || link !== this.#link)
      throw damaged(
        segment.path,
        0,
        `a segment that follows group ${this.#number} with link ${this.#link}`,
        `one that follows group ${afterGroup} with link ${link}`,
      );
    if (firstIndex > this.map.lastIndex + 1)
      throw damaged(
        segment.path,
        0,
        `entry ${this.map.lastIndex + 1} or an earlier one`,
        `entry ${firstIndex}`,
      );
    if (firstIndex >= this.map.firstIndex && this.map.term(firstIndex - 1) !== previousTerm)
      throw damaged(
        segment.path,
        0,
        `term ${this.map.term(firstIndex - 1)} before entry ${firstIndex}`,
        `term ${previousTerm}`,
      );
    if (hardState.term !== state.term || hardState.vote !== state.vote || hardState.commit !== state.commit)
      throw damaged(segment.path, 0, "the hard state of the segment before", "another one");
  }

  /** Reads the next group, which has to have this number. False when there is no whole group. */
  #group(segment: StoredSegment, reader: GroupReader, number: number): boolean {
    const isWhole = reader.next();
    const header = reader.header;
    if (header === undefined) return false;
    if (header.number !== number || header.link !== this.#link)
      throw damaged(
        segment.path,
        reader.offset,
        `group ${number} after link ${this.#link}`,
        `group ${header.number} after link ${header.link}`,
      );
    if (!isWhole) return false;
    const limit = reader.offset + groupHeaderBytes + header.payloadBytes;
    const firstIndex = this.map.lastIndex + 1;
    this.last = {
      path: segment.path,
      offset: reader.offset,
      payloadBytes: header.payloadBytes,
      number,
      afterGroup: number === segment.header.firstGroup ? segment.header.afterGroup : number - 1,
      link: header.link,
      firstIndex,
      hardStateBefore: this.hardState,
    };
    this.#records(segment, reader.offset, reader.payload);
    segment.addGroup(firstIndex, reader.offset, limit);
    this.#number = number;
    this.#link = header.headerCrc;
    return true;
  }

  #records(segment: StoredSegment, offset: number, payload: Bytes): void {
    try {
      const records = new RecordReader(payload);
      if (records.hardState !== undefined) this.hardState = records.hardState;
      while (records.next()) {
        const wanted = this.map.lastIndex + 1;
        if (records.index !== wanted)
          throw new DecodeError(`entry ${records.index} where entry ${wanted} belongs`);
        this.map.append(records);
      }
    } catch (error) {
      if (error instanceof DecodeError)
        throw damaged(segment.path, offset, "the records of a group", error.message);
      throw error;
    }
  }

  /** No whole group stands where the reader stopped: the end of the log, a torn write, or damage. */
  #checkEnd(
    segment: StoredSegment,
    file: DiskFile,
    reader: GroupReader,
    number: number,
    next: StoredSegment | undefined,
  ): void {
    const { path, fileBytes } = segment;
    const offset = reader.offset;
    if (next !== undefined)
      throw damaged(path, offset, `group ${number}, which "${next.path}" follows`, reader.problem);
    if (number === segment.header.firstGroup)
      throw damaged(
        path,
        offset,
        `group ${number}, which was synced before the file got its name`,
        reader.problem,
      );
    const end = endOfContent(file, offset, fileBytes);
    if (end === offset) return;
    const later = findGroup(file, offset + 1, fileBytes, this.#seed, number);
    if (later !== undefined)
      throw damaged(
        path,
        offset,
        `group ${number}, because group ${later.number} stands at byte ${later.offset}`,
        reader.problem,
      );
    this.torn = { path, offset, bytes: end - offset, group: number };
  }
}
