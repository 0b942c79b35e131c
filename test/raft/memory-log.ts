import { assert } from "../../src/lib/assert.ts";
import type { Entry, EntryId, Index, LogView, Term } from "../../src/raft/types.ts";

/** A log on an imaginary disk: an array, in which an entry at an index that is there replaces the whole suffix. */
export class MemoryLog implements LogView {
  #entries: Entry[] = [];
  /** The entry before the log's start: remembered, not kept. */
  #before: EntryId = { index: 0, term: 0 };

  constructor(entries: readonly Entry[] = []) {
    this.append(entries);
  }

  get firstIndex(): Index {
    return this.#before.index + 1;
  }

  get lastIndex(): Index {
    return this.#before.index + this.#entries.length;
  }

  term(index: Index): Term | undefined {
    if (index === this.#before.index) return this.#before.term;
    return this.#entries[index - this.firstIndex]?.term;
  }

  slice(from: Index, limit: Index, bytesMax: number): Entry[] {
    assert(from >= this.firstIndex, "what was dropped from the log is not asked for");
    const entries: Entry[] = [];
    let bytes = 0;
    for (const entry of this.#entries.slice(from - this.firstIndex, limit - this.firstIndex)) {
      bytes += entry.data.length;
      if (bytes > bytesMax && entries.length > 0) break;
      entries.push(entry);
    }
    return entries;
  }

  get configurations(): readonly Index[] {
    return this.#entries.filter(({ kind }) => kind === "config").map(({ index }) => index);
  }

  /** A snapshot has taken the place of everything. */
  startAfter(id: EntryId): void {
    this.#entries = [];
    this.#before = id;
  }

  append(entries: readonly Entry[]): void {
    const from = entries[0]?.index;
    if (from === undefined) return;
    assert(from >= this.firstIndex, "what was dropped from the log is not written again");
    assert(from <= this.lastIndex + 1, "a write leaves no gap");
    this.#entries.length = from - this.firstIndex;
    for (const entry of entries) {
      assert(entry.index === this.lastIndex + 1, "the entries of a write are contiguous");
      this.#entries.push(entry);
    }
  }

  /** Drops everything up to `index` and remembers its term. */
  dropUpTo(index: Index): void {
    const term = this.term(index);
    assert(term !== undefined, "the log starts after an entry that it had");
    this.#entries = this.#entries.slice(index - this.#before.index);
    this.#before = { index, term };
  }

  /** A disk that lies: everything after `index` is gone although it was synced. */
  loseAfter(index: Index): void {
    this.#entries.length = Math.max(0, index - this.#before.index);
  }
}
