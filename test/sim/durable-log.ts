import { assert } from "../../src/lib/assert.ts";
import type { Raft, RaftState } from "../../src/raft/raft.ts";
import type { EntryId, Index, NodeId, Term, Write } from "../../src/raft/types.ts";

/** What one node's disk has been said to hold: the promise that a restart is measured by. */
export class DurableLog {
  readonly #id: NodeId;
  #term: Term = 0;
  #vote: NodeId | undefined;
  /** The term of each entry; the entry with index 1 stands at 1. */
  #terms: Term[] = [0];
  #inFlight: Write | undefined;

  constructor(id: NodeId) {
    this.#id = id;
  }

  get term(): Term {
    return this.#term;
  }

  get lastIndex(): Index {
    return this.#terms.length - 1;
  }

  has(entry: EntryId): boolean {
    return this.#terms[entry.index] === entry.term;
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
  }

  ended(): void {
    const write = this.#inFlight;
    assert(write !== undefined, "a write ends after it began");
    this.#inFlight = undefined;
    if (write.hardState !== undefined) {
      this.#term = write.hardState.term;
      this.#vote = write.hardState.vote;
    }
    const [first] = write.entries;
    if (first === undefined) return;
    assert(first.index <= this.#terms.length, "a write leaves no gap");
    this.#terms.length = first.index;
    for (const entry of write.entries) this.#terms.push(entry.term);
  }

  /** A new life has read the disk. All that was promised has to be there. */
  recovered(raft: Raft, state: RaftState): void {
    this.#check(raft, state);
    this.#inFlight = undefined;
    this.#term = state.term;
    this.#vote = state.vote;
    this.#terms = [0];
    for (let index = 1; index <= state.last.index; )
      for (const entry of raft.entries(index, 1 << 20)) this.#terms[index++] = entry.term;
  }

  #check(raft: Raft, state: RaftState): void {
    const tale = () =>
      `${this.#id} has lost what was durable (${this.describe()}): it finds term ${state.term}, `;
    const rest = () => `vote ${state.vote ?? "-"}, entries up to ${state.last.index}`;
    if (state.term < this.#term) assert(false, tale() + rest());
    if (state.term === this.#term && this.#vote !== undefined && state.vote !== this.#vote)
      assert(false, tale() + rest());
    // A write under way at the end of the last life may be there or not, in whole or in part.
    const replaced = this.#inFlight?.entries[0]?.index ?? Number.POSITIVE_INFINITY;
    const limit = Math.min(this.lastIndex + 1, replaced);
    if (state.last.index + 1 < limit) assert(false, tale() + rest());
    for (let index = 1; index < limit; )
      for (const entry of raft.entries(index, 1 << 20)) {
        if (index >= limit) break;
        if (entry.term !== this.#terms[index])
          assert(false, `${tale()}entry ${index} of term ${entry.term} instead of ${this.#terms[index]}`);
        index++;
      }
  }
}
