/**
 * Which block of a run's file a key is in: of each block but the last, the shortest text that is at or after its last
 * key and before the first key of the next.
 *
 *     index = end:u32[count] separator bytes; the separator of block i ends at end[i], counted from the first one
 *     its length in front: count:u32
 */
import { type Bytes, copyBytes } from "../lib/bytes.ts";
import { ByteWriter, DecodeError, readU32 } from "../lib/codec.ts";
import { headOf } from "./key-head.ts";

/** Collects the separators while blocks are written. */
export class BlockIndexBuilder {
  readonly #ends: number[] = [];
  readonly #separators = new ByteWriter(1024);

  /** Between two neighbouring blocks: the last key of one, and the first of the next. */
  add(last: Bytes, first: Bytes): void {
    this.#separators.raw(separatorOf(last, first));
    this.#ends.push(this.#separators.length);
  }

  finish(): Bytes {
    const index = new ByteWriter(8 + 4 * this.#ends.length + this.#separators.length);
    index.u32(this.#ends.length);
    for (const end of this.#ends) index.u32(end);
    index.raw(this.#separators.view());
    return index.take();
  }
}

export class BlockIndex {
  /** Blocks that the index tells apart. */
  readonly blocks: number;
  readonly #bytes: Bytes;
  readonly #separatorsAt: number;
  readonly #ends: Uint32Array;
  /**
   * Leading bytes that all keys of the file share, and of each separator the four behind them, which decide most
   * comparisons.
   */
  readonly #shared: number;
  readonly #heads: Uint32Array;

  /** Of a file whose keys share so many leading bytes. Throws DecodeError when the index contradicts itself. */
  constructor(payload: Bytes, sharedBytes: number) {
    if (payload.length < 4) throw new DecodeError("the index of its blocks is missing");
    const count = readU32(payload, 0);
    this.#separatorsAt = 4 + 4 * count;
    if (this.#separatorsAt > payload.length) throw new DecodeError("the index of its blocks ends early");
    this.#bytes = payload;
    this.blocks = count + 1;
    this.#shared = sharedBytes;
    this.#ends = new Uint32Array(count);
    this.#heads = new Uint32Array(count);
    for (let at = 0; at < count; at++) {
      this.#ends[at] = this.#separatorsAt + readU32(payload, 4 + 4 * at);
      this.#heads[at] = headOf(payload, this.#startOf(at) + sharedBytes, this.#ends[at]!);
    }
  }

  get bytes(): number {
    return this.#bytes.length + 8 * this.#ends.length;
  }

  /** The first block that may hold a version of a key that shares the file's leading bytes; else any. */
  blockOf(key: Bytes): number {
    const keyHead = headOf(key, this.#shared, key.length);
    let from = 0;
    let to = this.blocks - 1;
    while (from < to) {
      const middle = (from + to) >>> 1;
      const difference = this.#heads[middle]! - keyHead || this.#compareSeparator(middle, key);
      if (difference < 0) from = middle + 1;
      else to = middle;
    }
    return from;
  }

  #startOf(at: number): number {
    return at === 0 ? this.#separatorsAt : this.#ends[at - 1]!;
  }

  #compareSeparator(at: number, key: Bytes): number {
    const bytes = this.#bytes;
    const start = this.#startOf(at);
    const length = this.#ends[at]! - start;
    const limit = Math.min(length, key.length);
    for (let offset = 0; offset < limit; offset++) {
      const difference = bytes[start + offset]! - key[offset]!;
      if (difference !== 0) return difference;
    }
    return length - key.length;
  }
}

/** How many leading bytes two keys have in common. */
export function sharedBytesOf(a: Bytes, b: Bytes): number {
  const limit = Math.min(a.length, b.length);
  let shared = 0;
  while (shared < limit && a[shared] === b[shared]) shared++;
  return shared;
}

/** The shortest text at or after `last` and before `first`; `last` itself when both are versions of one key. */
export function separatorOf(last: Bytes, first: Bytes): Bytes {
  const limit = Math.min(last.length, first.length);
  const shared = sharedBytesOf(last, first);
  // `last` is the start of `first`, or they are the same: nothing shorter is at or after it.
  if (shared === limit) return copyBytes(last);
  if (last[shared]! + 1 < first[shared]!) {
    const separator = last.slice(0, shared + 1);
    separator[shared]!++;
    return separator;
  }
  // The next byte that can grow makes it larger than `last` and leaves it below `first`.
  for (let at = shared + 1; at < last.length; at++)
    if (last[at]! < 0xff) {
      const separator = last.slice(0, at + 1);
      separator[at]!++;
      return separator;
    }
  return copyBytes(last);
}
