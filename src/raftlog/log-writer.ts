import type { Disk } from "../env/disk.ts";
import { assert } from "../lib/assert.ts";
import type { Bytes } from "../lib/bytes.ts";
import { ByteWriter } from "../lib/codec.ts";
import { groupHeaderBytes, groupSeed, sealGroup } from "./group.ts";
import type { LogOptions, LogOwner } from "./options.ts";
import {
  encodeSegmentHeader,
  type SegmentHeader,
  segmentHeaderBytes,
  segmentName,
  unfinishedName,
} from "./segment.ts";
import { SegmentAppender } from "./segment-appender.ts";
import { StoredSegment } from "./stored-segment.ts";

/** What a segment that begins with the next group has to say about the log before it. */
export type SegmentStart = Pick<SegmentHeader, "firstIndex" | "previousTerm" | "hardState">;

/** When a group goes into a new segment: when the newest one is full, in any case, or as the first of a log anew. */
export type Beginning = "when-full" | "now" | "anew";

/** Where a group was written. */
export interface GroupPlace {
  readonly segment: StoredSegment;
  readonly begins: boolean;
  readonly offset: number;
  readonly limit: number;
}

export type GroupDone = (error: Error | undefined, place: GroupPlace | undefined) => void;

/** A writer that has grown beyond this is given up before the next group: one large value is not kept for ever. */
const writerBytesMax = 1024 * 1024;
const writerBytes = 64 * 1024;

/**
 * The end of the log: chains groups, and puts each into the newest segment or into a new one.
 *
 * A new segment is written under an unfinished name, header and first group in one synced write, and only then renamed
 * and its folder synced. So a segment that has its name is complete to its first group, and reading needs no rule for
 * half-made ones.
 */
export class LogWriter {
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #owner: LogOwner;
  readonly #options: LogOptions;
  readonly #seed: number;
  readonly #failed: (error: Error) => void;
  /** The number and the headerCrc of the last group that was handed to the disk. */
  #number = 0;
  #link = 0;
  #writer = new ByteWriter(writerBytes);
  #segment: StoredSegment | undefined;
  #appender: SegmentAppender | undefined;
  #isClosed = false;

  /** `failed` hears of errors that belong to no group. */
  constructor(
    disk: Disk,
    folder: string,
    owner: LogOwner,
    options: LogOptions,
    failed: (error: Error) => void,
  ) {
    this.#disk = disk;
    this.#folder = folder;
    this.#owner = owner;
    this.#options = options;
    this.#seed = groupSeed(owner);
    this.#failed = failed;
  }

  /** Starts a group: its records go into the writer that is returned. Valid until `append` or `begin`. */
  startGroup(): ByteWriter {
    if (this.#writer.length > writerBytesMax) this.#writer = new ByteWriter(writerBytes);
    this.#writer.clear();
    this.#writer.skip(segmentHeaderBytes + groupHeaderBytes);
    return this.#writer;
  }

  /**
   * Writes the group that was started, beside the event loop. `done` runs once it is durable, never after `close`. From
   * then on nothing before it counts when it begins the log anew; until then a crash leaves the log as it was.
   */
  append(start: SegmentStart, beginning: Beginning, done: GroupDone): void {
    assert(this.#appender !== undefined && this.#segment !== undefined, "a log begins with a segment");
    const bytes = this.#writer.length - segmentHeaderBytes;
    const isFull = this.#appender.position + bytes > this.#options.segmentBytesMax;
    if (isFull || beginning !== "when-full") {
      const isAnew = beginning === "anew";
      const header = this.#nextHeader(start, isAnew ? 0 : this.#number, isAnew ? 0 : this.#link);
      this.#appendSegment(header, this.#seal(header), done);
    } else {
      this.#appendGroup(this.#segment, this.#appender, done);
    }
  }

  /**
   * Writes the group that was started into a new segment, and returns when it is durable. The group has the number
   * after `number`, and follows group `afterGroup`, whose headerCrc is `link`.
   */
  begin(start: SegmentStart, number: number, afterGroup: number, link: number): GroupPlace {
    this.#number = number;
    const header = this.#nextHeader(start, afterGroup, link);
    const bytes = this.#seal(header);
    const unfinished = unfinishedName(this.#pathOf(header));
    const file = this.#disk.open(unfinished, "create");
    try {
      file.write(0, bytes);
      file.sync();
    } finally {
      file.close();
    }
    return this.#publish(header, bytes.length);
  }

  /** As `begin`, for the first group of a log anew: it follows none. */
  beginAnew(start: SegmentStart): GroupPlace {
    return this.begin(start, this.#number, 0, 0);
  }

  /** Nothing is called afterwards. */
  close(): void {
    this.#isClosed = true;
    this.#appender?.close();
  }

  #nextHeader(start: SegmentStart, afterGroup: number, link: number): SegmentHeader {
    const { firstIndex, previousTerm, hardState } = start;
    return { firstGroup: this.#number + 1, afterGroup, link, firstIndex, previousTerm, hardState };
  }

  /** The whole beginning of a segment: its header, and the group that was started. */
  #seal(header: SegmentHeader): Bytes {
    this.#sealGroup(header.firstGroup, header.link);
    const bytes = this.#writer.view();
    bytes.set(encodeSegmentHeader(header, this.#owner));
    return bytes;
  }

  #sealGroup(number: number, link: number): void {
    this.#link = sealGroup(this.#writer, segmentHeaderBytes, number, link, this.#seed);
    this.#number = number;
  }

  #appendGroup(segment: StoredSegment, appender: SegmentAppender, done: GroupDone): void {
    this.#sealGroup(this.#number + 1, this.#link);
    const bytes = this.#writer.view().subarray(segmentHeaderBytes);
    const offset = appender.position;
    appender.append(bytes, (error) => {
      if (this.#isClosed) return;
      segment.fileBytes = appender.fileBytes;
      if (error === undefined)
        done(undefined, { segment, begins: false, offset, limit: offset + bytes.length });
      else done(error, undefined);
    });
  }

  #appendSegment(header: SegmentHeader, bytes: Bytes, done: GroupDone): void {
    try {
      const file = this.#disk.open(unfinishedName(this.#pathOf(header)), "create");
      file.writeDurably(0, bytes, (error) => {
        file.close();
        if (this.#isClosed) return;
        if (error === undefined) this.#publishFor(header, bytes.length, done);
        else done(error, undefined);
      });
    } catch (error) {
      done(error as Error, undefined);
    }
  }

  #publishFor(header: SegmentHeader, length: number, done: GroupDone): void {
    let place: GroupPlace;
    try {
      place = this.#publish(header, length);
    } catch (error) {
      done(error as Error, undefined);
      return;
    }
    done(undefined, place);
  }

  /** Gives a synced segment its name; from here on it is the newest. */
  #publish(header: SegmentHeader, length: number): GroupPlace {
    const path = this.#pathOf(header);
    this.#disk.rename(unfinishedName(path), path);
    this.#disk.syncFolder(this.#folder);
    this.#appender?.close();
    this.#segment = new StoredSegment(path, header, length);
    this.#appender = new SegmentAppender(this.#disk, path, length, this.#options, this.#failed);
    return { segment: this.#segment, begins: true, offset: segmentHeaderBytes, limit: length };
  }

  #pathOf(header: SegmentHeader): string {
    return `${this.#folder}/${segmentName(header.firstIndex, header.firstGroup)}`;
  }
}
