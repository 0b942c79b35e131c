/**
 * One version of a key in a memtable's arena, in words of 32 bits and then bytes:
 *
 *     entry = keyLength:u32 recordLength:u32 sequenceLow:u32 sequenceHigh:u32 stamp:u32 key record
 *
 * Key and record stand side by side, as they do in a run. The stamp counts the memtable's writes.
 */
import { type Bytes, copyRange } from "../lib/bytes.ts";
import { offsetBits, offsetMask } from "./arena.ts";
import { headOf } from "./key-head.ts";
import { isTombstoneAt, valueStart } from "./record.ts";

export const entryHeaderBytes = 20;
const twoTo32 = 0x1_0000_0000;

/** Entries in shared memory, for both threads. */
export class EntryMemory {
  readonly chunks: readonly Bytes[];
  readonly words: readonly Uint32Array[];

  constructor(chunks: readonly Bytes[], words: readonly Uint32Array[]) {
    this.chunks = chunks;
    this.words = words;
  }

  sequence(address: number): number {
    const words = this.words[address >>> offsetBits]!;
    const at = (address & offsetMask) >>> 2;
    return words[at + 3]! * twoTo32 + words[at + 2]!;
  }

  stamp(address: number): number {
    return this.words[address >>> offsetBits]![((address & offsetMask) >>> 2) + 4]!;
  }

  /** A copy, since the memory is used again one day. */
  key(address: number): Bytes {
    const start = (address & offsetMask) + entryHeaderBytes;
    return this.chunks[address >>> offsetBits]!.slice(start, start + this.#keyLength(address));
  }

  isTombstone(address: number): boolean {
    const recordAt = (address & offsetMask) + entryHeaderBytes + this.#keyLength(address);
    return isTombstoneAt(this.chunks[address >>> offsetBits]!, recordAt);
  }

  /** A view of the arena: not for those who keep it. */
  record(address: number): Bytes {
    const words = this.words[address >>> offsetBits]!;
    const at = (address & offsetMask) >>> 2;
    const start = (address & offsetMask) + entryHeaderBytes + words[at]!;
    return this.chunks[address >>> offsetBits]!.subarray(start, start + words[at + 1]!);
  }

  /** A copy of the value; undefined for a deletion. No view is made on the way. */
  value(address: number): Bytes | undefined {
    const words = this.words[address >>> offsetBits]!;
    const at = (address & offsetMask) >>> 2;
    const chunk = this.chunks[address >>> offsetBits]!;
    const recordAt = (address & offsetMask) + entryHeaderBytes + words[at]!;
    if (isTombstoneAt(chunk, recordAt)) return undefined;
    const start = valueStart(chunk, recordAt);
    const end = recordAt + words[at + 1]!;
    const value = new Uint8Array(end - start);
    copyRange(chunk, start, end, value, 0);
    return value;
  }

  /** Compares the keys from their byte `from` on, up to which they are equal. */
  compareKey(address: number, key: Bytes, from: number): number {
    const chunk = this.chunks[address >>> offsetBits]!;
    const start = (address & offsetMask) + entryHeaderBytes;
    const length = this.#keyLength(address);
    const limit = Math.min(length, key.length);
    for (let at = from; at < limit; at++) {
      const difference = chunk[start + at]! - key[at]!;
      if (difference !== 0) return difference;
    }
    return length - key.length;
  }

  /** Compares the first `length` bytes of the keys; what is missing of them comes first. */
  compareStart(address: number, key: Bytes, length: number): number {
    const chunk = this.chunks[address >>> offsetBits]!;
    const start = (address & offsetMask) + entryHeaderBytes;
    const limit = Math.min(length, key.length);
    for (let at = 0; at < limit; at++) {
      const difference = chunk[start + at]! - key[at]!;
      if (difference !== 0) return difference;
    }
    // The entry's key has all of them.
    return key.length < length ? 1 : 0;
  }

  /** How many leading bytes the keys share, up to `most`. */
  sharedWith(address: number, key: Bytes, most: number): number {
    const chunk = this.chunks[address >>> offsetBits]!;
    const start = (address & offsetMask) + entryHeaderBytes;
    const limit = Math.min(most, key.length, this.#keyLength(address));
    let shared = 0;
    while (shared < limit && chunk[start + shared] === key[shared]) shared++;
    return shared;
  }

  /** Four bytes of the key as a number in byte order; zeros where it has ended. */
  head(address: number, from: number): number {
    const start = (address & offsetMask) + entryHeaderBytes;
    return headOf(this.chunks[address >>> offsetBits]!, start + from, start + this.#keyLength(address));
  }

  #keyLength(address: number): number {
    return this.words[address >>> offsetBits]![(address & offsetMask) >>> 2]!;
  }
}
