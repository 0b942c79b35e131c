import { assert } from "../lib/assert.ts";
import type { Index } from "../raft/types.ts";
import { type SegmentHeader, segmentHeaderBytes } from "./segment.ts";

/** How far apart the marks of a segment stand: what a read of one entry has to skip, at most, besides one group. */
const markSpacingBytes = 128 * 1024;

/**
 * What memory holds of one segment: some hundred bytes and 16 more for every 128 KiB of it (a ten-thousandth).
 * Invariant: the entries of [from, to) stand in this segment, ascending in the order of the file; `from <= to`.
 */
export class StoredSegment {
  readonly path: string;
  readonly header: SegmentHeader;
  /** What the file takes on the disk, with the zeros written ahead. */
  fileBytes: number;
  from: Index;
  to: Index;
  /** Groups that begin before this offset are complete; a group that is being written begins here or later. */
  contentBytes = segmentHeaderBytes;
  /** Entry `#markIndexes[i]` is the first of the group at `#markOffsets[i]`. Both ascend. */
  readonly #markIndexes: Index[] = [];
  readonly #markOffsets: number[] = [];

  constructor(path: string, header: SegmentHeader, fileBytes: number) {
    this.path = path;
    this.header = header;
    this.fileBytes = fileBytes;
    this.from = header.firstIndex;
    this.to = header.firstIndex;
  }

  get markCount(): number {
    return this.#markOffsets.length;
  }

  /** Remembers that the group of [offset, limit) is complete and begins with the entry `index`. */
  addGroup(index: Index, offset: number, limit: number): void {
    assert(offset >= this.contentBytes, "groups are added in the order of the file");
    this.contentBytes = limit;
    const last = this.#markOffsets[this.#markOffsets.length - 1];
    if (last !== undefined && offset - last < markSpacingBytes) return;
    this.#markIndexes.push(index);
    this.#markOffsets.push(offset);
  }

  /** Where to start reading to find the entry `index`: at a group that begins with it or with an earlier one. */
  offsetBefore(index: Index): number {
    let low = 0;
    let high = this.#markIndexes.length - 1;
    assert(high >= 0 && this.#markIndexes[0]! <= index, "the entry stands in this segment");
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.#markIndexes[middle]! <= index) low = middle;
      else high = middle - 1;
    }
    return this.#markOffsets[low]!;
  }
}
