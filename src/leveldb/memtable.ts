/**
 * The newest writes, in shared memory. A put copies key and value once, to where a flush finds them, and finds its
 * place in the order of keys; nothing is ever sorted or encoded again on the event loop.
 *
 * Every write has a **stamp**, one more than the write before. A view sees what had been stamped when it was pinned;
 * sequence numbers cannot tell that, because several writes may carry the same one.
 */
import { assert } from "../lib/assert.ts";
import { type Bytes, copyRange } from "../lib/bytes.ts";
import { Arena, ChunkPool, offsetBits, offsetMask } from "./arena.ts";
import { LeafPool } from "./leaf-slab.ts";
import { EntryMemory, entryHeaderBytes } from "./memtable-entry.ts";
import { type IndexParts, MemtableIndex } from "./memtable-index.ts";
import {
  decodeRecord,
  putHeaderBytes,
  type StoredRecord,
  tombstoneRecord,
  writePutHeader,
} from "./record.ts";

/** What the index costs for an entry: an address and a prefix, in leaves that are two thirds full. */
const indexBytesPerEntry = 18;
const stampMax = 0xffff_ffff;

/** A sealed memtable, for the worker that makes a run of it. */
export interface MemtableParts {
  readonly chunks: readonly SharedArrayBuffer[];
  readonly index: IndexParts;
}

/** What the leaves of the index take of a memtable, at the most: that of small values. */
const leavesPart = 1 / 4;

/** Memory of memtables that have gone, for those that come: it costs no page faults and leaves no garbage. */
export class MemtablePool {
  readonly chunks: ChunkPool;
  readonly leaves: LeafPool;

  /** Keeps up to so many bytes of keys and values, and what is needed to find them. */
  constructor(bytesMax: number) {
    this.chunks = new ChunkPool(bytesMax);
    this.leaves = new LeafPool(bytesMax * leavesPart);
  }
}

/** The life of a key as the next version of it continues it. */
const firstLife = { created: 0, count: 0, isComplete: false };

export class Memtable {
  readonly memory: EntryMemory;
  readonly index: MemtableIndex;
  readonly #arena: Arena;
  /** Whether older versions are kept for reads of the past. */
  readonly #keepsHistory: boolean;
  #entries = 0;
  #stamp = 0;
  /** Stamps of the live views, ascending, since stamps are pinned as they grow; equal ones are several views. */
  readonly #pins: number[] = [];
  #isDone = false;

  constructor(pool: MemtablePool, keepsHistory: boolean) {
    this.#arena = new Arena(pool.chunks);
    this.#keepsHistory = keepsHistory;
    this.memory = new EntryMemory(this.#arena.chunks, this.#arena.words);
    this.index = new MemtableIndex(this.memory, pool.leaves);
  }

  /** Memory in use, about. Overwritten values count: their place is not used again. */
  get bytes(): number {
    return this.#arena.bytes + this.#entries * indexBytesPerEntry;
  }

  get isEmpty(): boolean {
    return this.index.isEmpty;
  }

  /** Whether it cannot take much more, whatever its size. */
  get isCrowded(): boolean {
    return this.#arena.isCrowded || this.#stamp > stampMax / 2;
  }

  /** Starts a write: all puts and deletes up to the next call become visible together. */
  beginWrite(): void {
    this.#stamp++;
  }

  /** Copies key and value. Requires a sequence number at or above that of every earlier operation on the key. */
  put(key: Bytes, value: Bytes, sequence: number): void {
    const older = this.index.find(key, stampMax, Infinity);
    const life = older === -1 ? firstLife : this.#nextLife(older, sequence);
    const created = life.count === 0 ? sequence : life.created;
    const next = { created, count: life.count + 1, isComplete: life.isComplete };
    const headerLength = putHeaderBytes(next);
    const address = this.#reserve(key, headerLength + value.length, sequence);
    const chunk = this.memory.chunks[address >>> offsetBits]!;
    const recordAt = (address & offsetMask) + entryHeaderBytes + key.length;
    writePutHeader(chunk, recordAt, next);
    copyRange(value, 0, value.length, chunk, recordAt + headerLength);
    this.#place(key, address, older);
  }

  delete(key: Bytes, sequence: number): void {
    const older = this.index.find(key, stampMax, Infinity);
    assert(
      older === -1 || sequence >= this.memory.sequence(older),
      "sequence numbers of a key never go back",
    );
    const address = this.#reserve(key, tombstoneRecord.length, sequence);
    const recordAt = (address & offsetMask) + entryHeaderBytes + key.length;
    this.memory.chunks[address >>> offsetBits]!.set(tombstoneRecord, recordAt);
    this.#place(key, address, older);
  }

  /** The newest version of the key that the view pinned at `stamp` sees at or below `sequence`; -1 for none. */
  find(key: Bytes, stamp = stampMax, sequence = Infinity): number {
    return this.index.find(key, stamp, sequence);
  }

  /** A copy of the record at an address: the memory is used again one day. */
  record(address: number): Bytes {
    return this.memory.record(address).slice();
  }

  /** Pins the present state for a view: its versions stay until `unpin` of the stamp that is returned. */
  pin(): number {
    this.#pins.push(this.#stamp);
    return this.#stamp;
  }

  /** One more view of a stamp that is pinned. */
  pinAgain(stamp: number): void {
    const place = this.#pins.lastIndexOf(stamp);
    assert(place !== -1, "only a pinned stamp is pinned again");
    this.#pins.splice(place, 0, stamp);
  }

  unpin(stamp: number): void {
    const place = this.#pins.lastIndexOf(stamp);
    assert(place !== -1, "a view is unpinned once");
    this.#pins.splice(place, 1);
    this.#releaseIfUnused();
  }

  /** For the worker. Nobody writes any more. */
  parts(): MemtableParts {
    return { chunks: this.#arena.buffers(), index: this.index.parts() };
  }

  /** The store needs it no more: its memory goes with the last view of it. */
  done(): void {
    this.#isDone = true;
    this.#releaseIfUnused();
  }

  #releaseIfUnused(): void {
    if (!this.#isDone || this.#pins.length > 0) return;
    this.index.release();
    this.#arena.release();
  }

  #reserve(key: Bytes, recordLength: number, sequence: number): number {
    const address = this.#arena.reserve(entryHeaderBytes + key.length + recordLength);
    const words = this.memory.words[address >>> offsetBits]!;
    const at = (address & offsetMask) >>> 2;
    words[at] = key.length;
    words[at + 1] = recordLength;
    words[at + 2] = sequence >>> 0;
    words[at + 3] = Math.floor(sequence / 0x1_0000_0000);
    words[at + 4] = this.#stamp;
    const chunk = this.memory.chunks[address >>> offsetBits]!;
    copyRange(key, 0, key.length, chunk, (address & offsetMask) + entryHeaderBytes);
    return address;
  }

  #place(key: Bytes, address: number, older: number): void {
    if (older !== -1 && !this.#isNeeded(older)) this.index.replaceFound(address);
    else {
      this.index.insertFound(key, address);
      this.#entries++;
    }
  }

  /** Whether somebody may still read a version that is about to be overwritten. */
  #isNeeded(address: number): boolean {
    if (this.#keepsHistory) return true;
    const { length } = this.#pins;
    return length > 0 && this.#pins[length - 1]! >= this.memory.stamp(address);
  }

  /** What the next put of a key continues: a count that is one less than the next version's. */
  #nextLife(older: number, sequence: number): { created: number; count: number; isComplete: boolean } {
    const olderSequence = this.memory.sequence(older);
    assert(sequence >= olderSequence, "sequence numbers of a key never go back");
    const record: StoredRecord = decodeRecord(this.memory.record(older));
    if (record.isTombstone) return { created: 0, count: 0, isComplete: true };
    const isSame = olderSequence === sequence;
    return { created: record.created, count: record.count - (isSame ? 1 : 0), isComplete: record.isComplete };
  }
}
