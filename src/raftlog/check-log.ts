/**
 * Looks at a whole log and changes nothing. What a start believes is decided where a start decides it
 * (recovery.ts), so the two never differ; but a start ends at the first damage, and here what stands behind that is
 * looked at as well.
 */
import type { Disk, DiskFile } from "../env/disk.ts";
import { DecodeError } from "../lib/codec.ts";
import { KvraftError } from "../lib/error.ts";
import { type Finding, type Progress, problemOf } from "../lib/examination.ts";
import type { Entry, HardState, Index, Term } from "../raft/types.ts";
import { LogError } from "./damage.ts";
import { groupSeed } from "./group.ts";
import { findGroup, GroupReader } from "./group-reader.ts";
import type { LogMap } from "./log-map.ts";
import type { LogOwner } from "./options.ts";
import { RecordReader } from "./records.ts";
import { chainOf, LogScan, readSegment, type TornWrite } from "./recovery.ts";
import { firstGroupOfName, isUnfinishedName, ownerOfSegment, segmentHeaderBytes } from "./segment.ts";
import { SegmentFiles } from "./segment-files.ts";
import type { StoredSegment } from "./stored-segment.ts";

const chunkBytes = 1024 * 1024;

/** What a log holds, as far as it can be read. */
export interface LogSummary {
  readonly firstIndex: Index;
  readonly lastIndex: Index;
  readonly hardState: HardState;
  readonly segments: number;
  /** With the zeros written ahead. */
  readonly bytes: number;
}

export interface LogCheck {
  readonly findings: readonly Finding[];
  /** A write that a crash has cut, at the end of a log that is whole up to there. */
  readonly torn: TornWrite | undefined;
  /** Files that the next start removes: segments that were never finished, or whose groups were all replaced. */
  readonly leftovers: readonly string[];
  /** Files that are none of kvraft's. */
  readonly strangers: readonly string[];
  /** Undefined when there is no segment that can be read. */
  readonly log: LogSummary | undefined;
  /** The entry that the log begins with. */
  readonly firstEntry: Entry | undefined;
  /** The term of an entry that can be read, or of the one before the log. */
  termOf(index: Index): Term | undefined;
}

/** Whose log is in a folder, as its files say; undefined when none of them can be read. */
export function ownerOfLog(disk: Disk, folder: string): LogOwner | undefined {
  for (const name of disk.list(folder)) {
    if (!name.endsWith(".log")) continue;
    const owner = reading(disk, `${folder}/${name}`, (file) =>
      ownerOfSegment(file.read(0, segmentHeaderBytes)),
    );
    if (owner !== undefined) return owner;
  }
  return undefined;
}

/** Looks at every byte, a segment between two yields. Throws nothing that a file can cause. */
export function* checkLog(disk: Disk, folder: string, owner: LogOwner): Generator<Progress, LogCheck> {
  const check = new Check(disk, owner);
  check.headers(folder);
  let done = 0;
  for (const bytes of check.segments()) {
    yield { done, total: check.bytes };
    done += bytes;
  }
  return check.result();
}

/** A segment whose header tells nothing. Its name tells its place, and its groups can still be looked at. */
interface HeadlessSegment {
  readonly path: string;
  readonly firstGroup: number;
  /** What another node or another version wrote is not damaged behind its header. */
  readonly isOurs: boolean;
}

class Check {
  readonly #disk: Disk;
  readonly #owner: LogOwner;
  readonly #seed: number;
  readonly #findings: Finding[] = [];
  readonly #leftovers: string[] = [];
  readonly #strangers: string[] = [];
  #chain: readonly StoredSegment[] = [];
  readonly #headless: HeadlessSegment[] = [];
  /** One for each stretch without damage, oldest first. */
  readonly #maps: LogMap[] = [];
  #hardState: HardState = { term: 0, vote: undefined, commit: 0 };
  #torn: TornWrite | undefined;
  #firstEntry: Entry | undefined;
  bytes = 0;

  constructor(disk: Disk, owner: LogOwner) {
    this.#disk = disk;
    this.#owner = owner;
    this.#seed = groupSeed(owner);
  }

  headers(folder: string): void {
    const segments: StoredSegment[] = [];
    for (const name of this.#disk.list(folder)) {
      const path = `${folder}/${name}`;
      if (isUnfinishedName(name)) this.#leftovers.push(path);
      else if (!name.endsWith(".log")) this.#strangers.push(path);
      else
        this.#guard(
          path,
          () => segments.push(readSegment(this.#disk, folder, name, this.#owner)),
          (error) => this.#noteHeadless(path, name, error),
        );
    }
    segments.sort((a, b) => a.header.firstGroup - b.header.firstGroup);
    this.#chain = chainOf(segments, this.#leftovers);
    this.bytes = this.#chain.reduce((sum, segment) => sum + segment.fileBytes, 0);
  }

  /** Yields the bytes of each segment before it is looked at. */
  *segments(): Generator<number> {
    let scan = new LogScan(this.#disk, this.#seed);
    for (const [at, segment] of this.#chain.entries()) {
      yield segment.fileBytes;
      const following = this.#chain[at + 1];
      const next = this.#isBroken(segment, following) ? undefined : following;
      if (this.#isBroken(this.#chain[at - 1], segment)) scan = new LogScan(this.#disk, this.#seed);
      scan = this.#segment(scan, segment, next);
      if (at === this.#chain.length - 1 && !this.#isBroken(segment, undefined)) this.#torn = scan.torn;
    }
    for (const { path, firstGroup, isOurs } of this.#headless)
      if (isOurs) this.#guard(path, () => this.#afterDamage(path, segmentHeaderBytes, firstGroup, undefined));
    this.#readFirstEntry();
  }

  result(): LogCheck {
    const first = this.#maps[0];
    const last = this.#maps.at(-1);
    const log = first &&
      last && {
        firstIndex: first.firstIndex,
        lastIndex: last.lastIndex,
        hardState: this.#hardState,
        segments: this.#chain.length,
        bytes: this.bytes,
      };
    return {
      findings: this.#findings,
      torn: this.#torn,
      leftovers: this.#leftovers,
      strangers: this.#strangers,
      log,
      firstEntry: this.#firstEntry,
      termOf: (index) => this.#maps.findLast((map) => map.term(index) !== undefined)?.term(index),
    };
  }

  /** Whether a segment that cannot be placed stands between these two. */
  #isBroken(before: StoredSegment | undefined, after: StoredSegment | undefined): boolean {
    const from = before?.header.firstGroup ?? 0;
    const to = after?.header.firstGroup ?? Number.MAX_SAFE_INTEGER;
    return this.#headless.some(({ firstGroup }) => firstGroup > from && firstGroup < to);
  }

  /** Returns the scan to go on with. */
  #segment(scan: LogScan, segment: StoredSegment, next: StoredSegment | undefined): LogScan {
    let going = scan;
    this.#guard(
      segment.path,
      () => going.segment(segment, next),
      (error) => {
        const hasBegun = going.map.segments.includes(segment);
        going = new LogScan(this.#disk, this.#seed);
        // Its header contradicts what stands before it. What it holds may be whole all the same.
        if (!hasBegun) going = this.#segment(going, segment, next);
        else if (error instanceof LogError) {
          const numberMin =
            scan.last?.path === segment.path ? scan.last.number + 1 : segment.header.firstGroup;
          this.#afterDamage(segment.path, error.place.offset + 1, numberMin, next);
        }
      },
    );
    const map = going.map.segments.length > 0 ? going.map : scan.map;
    if (map.segments.length > 0 && !this.#maps.includes(map)) this.#maps.push(map);
    this.#hardState = going.last === undefined ? this.#hardState : going.hardState;
    return going;
  }

  /** Goes on with the next whole group at or after a place, and looks at all that follow it. */
  #afterDamage(path: string, from: number, numberMin: number, next: StoredSegment | undefined): void {
    reading(this.#disk, path, (file) => {
      const limit = file.size();
      const lastNumber = next?.header.afterGroup ?? Number.MAX_SAFE_INTEGER;
      let group = findGroup(file, from, limit, this.#seed, numberMin);
      while (group !== undefined && group.number <= lastNumber) {
        const reader = new GroupReader(file, path, group.offset, limit, this.#seed, chunkBytes);
        const wanted = this.#groups(path, reader, group.number, lastNumber);
        if (wanted > lastNumber) return;
        group = findGroup(file, reader.offset + 1, limit, this.#seed, wanted);
        if (group === undefined && next === undefined) return;
        const why = group === undefined ? `"${next!.path}" follows it` : `group ${group.number} stands later`;
        this.#find(path, reader.offset, `group ${wanted}, because ${why}`, reader.problem);
      }
    });
  }

  /** Returns the number of the first group that is not whole. */
  #groups(path: string, reader: GroupReader, first: number, lastNumber: number): number {
    let number = first;
    let link: number | undefined;
    let index: Index | undefined;
    while (number <= lastNumber && reader.next()) {
      const header = reader.header!;
      if (header.number !== number || (link !== undefined && header.link !== link))
        this.#find(
          path,
          reader.offset,
          `group ${number} after link ${link ?? "of the one before"}`,
          `group ${header.number} after link ${header.link}`,
        );
      link = header.headerCrc;
      number = header.number + 1;
      index = this.#records(path, reader, index);
    }
    return number;
  }

  /** Returns the index that follows. */
  #records(path: string, reader: GroupReader, first: Index | undefined): Index | undefined {
    let wanted = first;
    try {
      const records = new RecordReader(reader.payload);
      while (records.next()) {
        if (wanted !== undefined && records.index !== wanted)
          throw new DecodeError(`entry ${records.index} where entry ${wanted} belongs`);
        wanted = records.index + 1;
      }
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#find(path, reader.offset, "the records of a group", error.message);
      return undefined;
    }
    return wanted;
  }

  #readFirstEntry(): void {
    const map = this.#maps[0];
    if (map === undefined || map.lastIndex < map.firstIndex) return;
    const segment = map.segmentOf(map.firstIndex);
    const files = new SegmentFiles(this.#disk, this.#seed, 1);
    const entries: Entry[] = [];
    this.#guard(segment.path, () => files.read(segment, map.firstIndex, map.firstIndex + 1, 0, entries));
    files.close();
    this.#firstEntry = entries[0];
  }

  #noteHeadless(path: string, name: string, error: KvraftError): void {
    const firstGroup = firstGroupOfName(name);
    const isOurs = error.code === "CORRUPTION";
    if (firstGroup !== undefined) this.#headless.push({ path, firstGroup, isOurs });
  }

  #find(file: string, offset: number, wanted: string, found: string): void {
    this.#findings.push({ code: "CORRUPTION", file, offset, found, wanted });
  }

  /** Makes a finding of what is thrown. */
  #guard(file: string, look: () => unknown, failed?: (error: KvraftError) => void): void {
    try {
      look();
    } catch (error) {
      if (!(error instanceof KvraftError)) throw error;
      if (error instanceof LogError) {
        const { path, offset, found, wanted } = error.place;
        this.#findings.push({ code: error.code, file: path, offset, found, wanted });
      } else
        this.#findings.push({ code: error.code, file, found: problemOf(error), wanted: "a file to be read" });
      // What goes wrong on the way on is one more finding.
      if (failed !== undefined) this.#guard(file, () => failed(error));
    }
  }
}

function reading<T>(disk: Disk, path: string, look: (file: DiskFile) => T): T {
  const file = disk.open(path, "read");
  try {
    return look(file);
  } finally {
    file.close();
  }
}
