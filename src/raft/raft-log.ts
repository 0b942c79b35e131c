import { assert } from "../lib/assert.ts";
import type { Entry, EntryId, Index, LogView, Term } from "./types.ts";

/**
 * The log as this node believes it: what is on disk, and in front of it the entries that are not known to be there.
 *
 *     1 ......... offset-1 | offset ....... unwritten-1 | unwritten ... last
 *     on disk (LogView)    | handed to a write          | waits for the next write
 *
 * Invariants: applied <= min(commit, durable); durable <= last; commit <= last; with nothing in front, disk and memory
 * are the same log.
 */
export class RaftLog {
  readonly #disk: LogView;
  /** Entries from `#offset` on; they shadow what the disk holds from there. */
  #front: Entry[] = [];
  #offset: Index;
  /** The first entry that was not yet handed to a write. */
  #unwritten: Index;
  #durable: Index;
  #commit: Index;
  #applied: Index;
  /**
   * A snapshot has taken the place of the whole log, and the disk does not know yet: nothing that it holds counts, and
   * `#offset` is the entry after this one.
   */
  #start: EntryId | undefined;
  /** Whether the write in flight tells the disk of it. */
  #isStarting = false;

  /** `commit` is the hint from the hard state, `applied` what the state machine already contains. */
  constructor(disk: LogView, commit: Index, applied: Index) {
    this.#disk = disk;
    this.#offset = disk.lastIndex + 1;
    this.#unwritten = this.#offset;
    this.#durable = disk.lastIndex;
    assert(applied <= disk.lastIndex, "the state machine holds nothing that the log has lost");
    assert(commit <= disk.lastIndex, "the log reaches the commit that was saved with it");
    this.#commit = Math.max(commit, applied);
    this.#applied = applied;
  }

  get firstIndex(): Index {
    return this.#start === undefined ? this.#disk.firstIndex : this.#start.index + 1;
  }

  get lastIndex(): Index {
    return this.#offset + this.#front.length - 1;
  }

  /** Whether there is nothing after the log's start. */
  get isEmpty(): boolean {
    return this.lastIndex < this.firstIndex;
  }

  get last(): EntryId {
    const index = this.lastIndex;
    return { index, term: this.termAt(index) };
  }

  /** Everything up to here is on this node's disk, as it stands in memory. */
  get durable(): Index {
    return this.#durable;
  }

  get commit(): Index {
    return this.#commit;
  }

  /** The last entry that `takeCommitted` handed out. */
  get applied(): Index {
    return this.#applied;
  }

  get hasUnwritten(): boolean {
    return this.#unwritten <= this.lastIndex || (this.#start !== undefined && !this.#isStarting);
  }

  /** The term at an index, or undefined outside of the log. */
  term(index: Index): Term | undefined {
    if (index >= this.#offset) return this.#front[index - this.#offset]?.term;
    if (this.#start !== undefined) return index === this.#start.index ? this.#start.term : undefined;
    return this.#disk.term(index);
  }

  /** The term at an index that is known to be in the log. */
  termAt(index: Index): Term {
    const term = this.term(index);
    assert(term !== undefined, "the index is in the log");
    return term;
  }

  has(id: EntryId): boolean {
    return this.term(id.index) === id.term;
  }

  /** Whether a log that ends in `last` is at least as up to date as this one (paper 5.4.1). */
  isUpToDate(last: EntryId): boolean {
    const own = this.last;
    return last.term > own.term || (last.term === own.term && last.index >= own.index);
  }

  /** Entries of [from, limit), as many as fit in `bytesMax` of data but at least one when there is one. */
  slice(from: Index, limit: Index, bytesMax: number): Entry[] {
    const end = Math.min(limit, this.lastIndex + 1);
    if (from >= end) return [];
    if (from < this.#offset) return this.#disk.slice(from, Math.min(end, this.#offset), bytesMax);
    const entries: Entry[] = [];
    let bytes = 0;
    for (let index = from; index < end; index++) {
      const entry = this.#front[index - this.#offset]!;
      bytes += entry.data.length;
      if (bytes > bytesMax && entries.length > 0) break;
      entries.push(entry);
    }
    return entries;
  }

  /** Appends an entry of this leader's own. */
  push(entry: Entry): void {
    assert(entry.index === this.lastIndex + 1, "a leader appends at the end of its log");
    this.#front.push(entry);
  }

  /**
   * Takes over a leader's entries that follow an entry which is in this log: skips those that are here, and replaces
   * everything from the first one that differs (paper 5.3, AppendEntries 3 and 4). A delayed message, all of whose
   * entries are here, must not truncate what came after it. Returns the entries that are new here.
   */
  merge(entries: readonly Entry[]): readonly Entry[] {
    const first = entries.findIndex((entry) => !this.has(entry));
    if (first < 0) return [];
    const from = entries[first]!.index;
    assert(from > this.#commit, "a committed entry is never replaced");
    if (from <= this.lastIndex) this.#truncate(from);
    for (let at = first; at < entries.length; at++) this.push(entries[at]!);
    return first === 0 ? entries : entries.slice(first);
  }

  /**
   * The last index at or below `id.index` whose term is at most `id.term`: the last place where a log that has `id`
   * may still agree with this one. Skips a whole term at a time, so that two logs meet in as many tries as they have
   * terms that differ.
   */
  lastAgreement(id: EntryId): EntryId {
    let index = Math.min(id.index, this.lastIndex);
    const floor = this.firstIndex - 1;
    while (index > floor && this.termAt(index) > id.term) index--;
    return { index, term: index < floor ? 0 : this.termAt(index) };
  }

  /**
   * The state machine holds everything up to this entry now, durably, and not by this log. A log that has the entry goes on
   * after it; any other one begins anew. Returns whether it goes on.
   */
  restore(snapshot: EntryId): boolean {
    assert(snapshot.index > this.#applied, "a snapshot never takes a state back");
    const goesOn = this.has(snapshot);
    this.#applied = snapshot.index;
    this.#commit = Math.max(this.#commit, snapshot.index);
    if (goesOn) {
      this.#durable = Math.max(this.#durable, snapshot.index);
      return true;
    }
    assert(this.#commit === snapshot.index, "a log that is committed further has the snapshot's entry");
    this.#front = [];
    this.#offset = snapshot.index + 1;
    this.#unwritten = this.#offset;
    this.#durable = snapshot.index;
    this.#start = snapshot;
    this.#isStarting = false;
    return false;
  }

  /** Where the disk's log has to begin anew with the next write, if it has to; it counts as handed over. */
  takeStart(): EntryId | undefined {
    if (this.#isStarting) return undefined;
    this.#isStarting = this.#start !== undefined;
    return this.#start;
  }

  /** The entries for the next write; they count as handed over. */
  takeUnwritten(): Entry[] {
    const taken = this.#front.slice(this.#unwritten - this.#offset);
    this.#unwritten = this.lastIndex + 1;
    return taken;
  }

  /**
   * A write of these entries is on the disk. Only those count as durable that still stand here: what was replaced in
   * the meantime has the same index and another term.
   */
  wrote(entries: readonly Entry[]): void {
    if (this.#isStarting) this.#start = undefined;
    this.#isStarting = false;
    for (const entry of entries) {
      if (entry.index <= this.#durable) continue;
      if (entry.index !== this.#durable + 1 || !this.has(entry)) break;
      this.#durable = entry.index;
    }
    // Whatever waits for the next write stays in front, even when the disk has an equal entry: only that write
    // removes what the disk holds after it.
    const kept = Math.min(this.#durable + 1, this.#unwritten);
    if (kept > this.#offset) {
      this.#front.splice(0, kept - this.#offset);
      this.#offset = kept;
    }
    if (this.#front.length === 0 && this.#start === undefined)
      assert(this.#disk.lastIndex === this.lastIndex, "disk and memory hold one log");
  }

  /** Moves the commit index forward; an older one changes nothing. Returns whether it moved. */
  commitTo(index: Index): boolean {
    if (index <= this.#commit) return false;
    assert(index <= this.lastIndex, "what is committed is in the log");
    this.#commit = index;
    return true;
  }

  /** Committed and durable here, in order, each entry once. */
  takeCommitted(bytesMax: number): Entry[] {
    const limit = Math.min(this.#commit, this.#durable) + 1;
    const entries = this.slice(this.#applied + 1, limit, bytesMax);
    if (entries.length > 0) {
      assert(entries[0]!.index === this.#applied + 1, "entries are applied without a gap");
      this.#applied = entries[entries.length - 1]!.index;
    }
    return entries;
  }

  #truncate(from: Index): void {
    if (from < this.#offset) {
      this.#front = [];
      this.#offset = from;
    } else {
      this.#front.length = from - this.#offset;
    }
    this.#unwritten = Math.min(this.#unwritten, from);
    this.#durable = Math.min(this.#durable, from - 1);
  }
}
