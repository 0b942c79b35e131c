import { assert } from "../../src/lib/assert.ts";
import type { Raft } from "../../src/raft/raft.ts";
import type { RaftState } from "../../src/raft/raft-options.ts";
import type { EntryId, Index, NodeId, Term, Write } from "../../src/raft/types.ts";

/** What one node's disk has been said to hold: the promise that a restart is measured by. */
export class DurableLog {
  readonly #id: NodeId;
  #term: Term = 0;
  #vote: NodeId | undefined;
  /** What comes up to and with this entry is held as a state, and need not be in the log. */
  #base: EntryId = { index: 0, term: 0 };
  /** The terms of the entries after it. */
  #terms: Term[] = [];
  #inFlight: Write | undefined;
  /** Its entries go into a log that counts no more. */
  #isInVain = false;

  constructor(id: NodeId) {
    this.#id = id;
  }

  get term(): Term {
    return this.#term;
  }

  get lastIndex(): Index {
    return this.#base.index + this.#terms.length;
  }

  get last(): EntryId {
    return { index: this.lastIndex, term: this.#terms.at(-1) ?? this.#base.term };
  }

  /** A state holds what is decided, and so whatever entry is decided there. */
  has(entry: EntryId): boolean {
    if (entry.index <= this.#base.index) return true;
    return this.#termAt(entry.index) === entry.term;
  }

  /** Whether it holds the vote, or has gone on to a later term. */
  hasVote(term: Term, vote: NodeId): boolean {
    return this.#term > term || (this.#term === term && this.#vote === vote);
  }

  describe(): string {
    return `term ${this.#term}, vote ${this.#vote ?? "-"}, entries up to ${this.lastIndex}`;
  }

  began(write: Write): void {
    assert(this.#inFlight === undefined, "one write at a time");
    this.#inFlight = write;
    this.#isInVain = false;
  }

  ended(): void {
    const write = this.#inFlight;
    assert(write !== undefined, "a write ends after it began");
    this.#inFlight = undefined;
    if (write.hardState !== undefined) {
      this.#term = write.hardState.term;
      this.#vote = write.hardState.vote;
    }
    // Another state may have come meanwhile.
    const isLate = write.start !== undefined && write.start.index < this.#base.index;
    if (write.start !== undefined && !isLate)
      assert(write.start.index === this.#base.index, "a log begins after its state");
    if (this.#isInVain) return;
    for (const { index, term } of write.entries) {
      if (index <= this.#base.index) continue;
      assert(index <= this.lastIndex + 1, "a write leaves no gap");
      this.#terms.length = index - this.#base.index - 1;
      this.#terms.push(term);
    }
  }

  /** A state has come that holds everything up to this entry, durably. */
  restored(snapshot: EntryId, goesOn: boolean): void {
    const isOnDisk = this.#termAt(snapshot.index) === snapshot.term;
    this.#terms = isOnDisk ? this.#terms.slice(snapshot.index - this.#base.index) : [];
    this.#base = snapshot;
    this.#isInVain = !goesOn;
  }

  /** Whether a new life has found all that was promised. */
  isKept(raft: Raft, state: RaftState): boolean {
    try {
      this.#check(raft, state);
      return true;
    } catch {
      return false;
    }
  }

  /** A new life has read the disk. All that was promised has to be there. */
  recovered(raft: Raft, state: RaftState): void {
    this.#check(raft, state);
    this.#inFlight = undefined;
    this.#term = state.term;
    this.#vote = state.vote;
    const { firstIndex, last } = state;
    if (last.index < firstIndex) this.#base = last;
    else if (firstIndex - 1 > this.#base.index)
      this.#base = { index: firstIndex - 1, term: this.#termAt(firstIndex - 1) ?? 0 };
    this.#terms = [];
    for (let index = this.#base.index + 1; index <= last.index; )
      for (const entry of raft.entries(index, 1 << 20)) {
        this.#terms.push(entry.term);
        index++;
      }
  }

  #termAt(index: Index): Term | undefined {
    return index === this.#base.index ? this.#base.term : this.#terms[index - this.#base.index - 1];
  }

  /** The process died when a state had come, and had yet to say so: the log begins after it, unless it led there. */
  #isBegunAnew({ firstIndex, last }: RaftState): boolean {
    const isEmpty = last.index === firstIndex - 1;
    return isEmpty && last.index > this.#base.index && this.#termAt(last.index) !== last.term;
  }

  #check(raft: Raft, state: RaftState): void {
    const tale = () =>
      `${this.#id} has lost what was durable (${this.describe()}): it finds term ${state.term}, `;
    const rest = () => `vote ${state.vote ?? "-"}, entries up to ${state.last.index}`;
    if (state.term < this.#term) assert(false, tale() + rest());
    if (state.term === this.#term && this.#vote !== undefined && state.vote !== this.#vote)
      assert(false, tale() + rest());
    if (this.#isBegunAnew(state)) return;
    // A write under way at the end of the last life may be there or not, in whole or in part.
    const write = this.#isInVain ? undefined : this.#inFlight;
    const replaced = write?.entries[0]?.index ?? Number.POSITIVE_INFINITY;
    const limit = Math.min(this.lastIndex + 1, Math.max(replaced, this.#base.index + 1));
    if (state.last.index + 1 < limit) assert(false, tale() + rest());
    for (let index = Math.max(this.#base.index + 1, state.firstIndex); index < limit; )
      for (const entry of raft.entries(index, 1 << 20)) {
        if (index >= limit) break;
        if (entry.term !== this.#termAt(index))
          assert(false, `${tale()}entry ${index} of term ${entry.term} instead of ${this.#termAt(index)}`);
        index++;
      }
  }
}
