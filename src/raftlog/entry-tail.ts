import { assert } from "../lib/assert.ts";
import type { Entry, Index } from "../raft/types.ts";

/** What an entry costs besides its data, roughly: the object, its byte array and the places that refer to them. */
const entryHeapBytes = 200;

/** The youngest entries of the log, contiguous, in at most `bytesMax` bytes of memory (but at least the last one). */
export class EntryTail {
  readonly #bytesMax: number;
  /** Entries before `#head` are dropped; they leave the array in bulk, so that dropping one costs nothing. */
  #entries: (Entry | undefined)[] = [];
  #head = 0;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#entries.length - this.#head;
  }

  /** Of the oldest entry that is held, or undefined when none is. */
  get firstIndex(): Index | undefined {
    return this.#entries[this.#head]?.index;
  }

  push(entry: Entry): void {
    const last = this.#entries[this.#entries.length - 1];
    assert(last === undefined || entry.index === last.index + 1, "the tail has no gap");
    this.#entries.push(entry);
    this.#bytes += entry.data.length + entryHeapBytes;
    while (this.#bytes > this.#bytesMax && this.size > 1) this.#dropFirst();
  }

  /** Drops everything from `from` on. */
  truncate(from: Index): void {
    while (this.size > 0 && this.#entries[this.#entries.length - 1]!.index >= from) {
      this.#bytes -= this.#entries.pop()!.data.length + entryHeapBytes;
    }
    if (this.size > 0) return;
    this.#entries = [];
    this.#head = 0;
  }

  /** The entry at an index that is held. */
  at(index: Index): Entry {
    return this.#entries[this.#head + index - this.firstIndex!]!;
  }

  #dropFirst(): void {
    this.#bytes -= this.#entries[this.#head]!.data.length + entryHeapBytes;
    this.#entries[this.#head++] = undefined;
    if (this.#head * 2 < this.#entries.length) return;
    this.#entries = this.#entries.slice(this.#head);
    this.#head = 0;
  }
}
