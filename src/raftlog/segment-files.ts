import type { Disk, DiskFile } from "../env/disk.ts";
import { DecodeError } from "../lib/codec.ts";
import type { Entry, Index } from "../raft/types.ts";
import { damaged } from "./damage.ts";
import { GroupReader } from "./group-reader.ts";
import { RecordReader } from "./records.ts";
import type { StoredSegment } from "./stored-segment.ts";

const chunkBytesMin = 64 * 1024;
const chunkBytesMax = 1024 * 1024;

/** Reads old entries back from the files, keeping a few of them open, and removes those that are no longer needed. */
export class SegmentFiles {
  readonly #disk: Disk;
  readonly #seed: number;
  readonly #openMax: number;
  /** By path, the one used last at the end. */
  readonly #files = new Map<string, DiskFile>();

  constructor(disk: Disk, seed: number, openMax: number) {
    this.#disk = disk;
    this.#seed = seed;
    this.#openMax = openMax;
  }

  get openCount(): number {
    return this.#files.size;
  }

  /**
   * Adds the entries of [from, limit) in `segment` to `into`, as long as the data of all of them stays within
   * `bytesLeft` (the first of `into` always fits). Returns what is left of it, negative when the next did not fit.
   * Every byte is checked again: what rots on the disk while a node runs must not reach its peers.
   */
  read(segment: StoredSegment, from: Index, limit: Index, bytesLeft: number, into: Entry[]): number {
    const start = segment.offsetBefore(from);
    const chunkBytes = Math.min(Math.max(bytesLeft, chunkBytesMin), chunkBytesMax);
    const file = this.#open(segment.path);
    const reader = new GroupReader(file, segment.path, start, segment.contentBytes, this.#seed, chunkBytes);
    let left = bytesLeft;
    let next = from;
    while (next < limit) {
      if (!reader.next())
        throw damaged(segment.path, reader.offset, `a group with entry ${next}`, reader.problem);
      try {
        const records = new RecordReader(reader.payload);
        while (next < limit && records.next()) {
          if (records.index < next) continue;
          if (records.index > next)
            throw new DecodeError(`entry ${records.index} where entry ${next} belongs`);
          left -= records.data.length;
          if (left < 0 && into.length > 0) return left;
          into.push(records.entry());
          next++;
        }
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error;
        throw damaged(segment.path, reader.offset, "the records of a group", error.message);
      }
    }
    return left;
  }

  /**
   * Removes segments; when it returns, no crash brings them back. Until then it may bring back any of them and not the
   * others: two that a reader would take for neighbours of others are removed one after the other.
   */
  remove(folder: string, paths: readonly string[]): void {
    for (const path of paths) {
      this.#files.get(path)?.close();
      this.#files.delete(path);
      this.#disk.remove(path);
    }
    if (paths.length > 0) this.#disk.syncFolder(folder);
  }

  close(): void {
    for (const file of this.#files.values()) file.close();
    this.#files.clear();
  }

  #open(path: string): DiskFile {
    const file = this.#files.get(path) ?? this.#disk.open(path, "read");
    this.#files.delete(path);
    this.#files.set(path, file);
    if (this.#files.size > this.#openMax) {
      const [oldest, unused] = this.#files.entries().next().value!;
      unused.close();
      this.#files.delete(oldest);
    }
    return file;
  }
}
