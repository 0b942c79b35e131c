import { assert } from "../lib/assert.ts";
import type { Index, ReadState } from "./types.ts";

/**
 * Linearizable reads by ReadIndex (thesis 6.4). Reads wait for a round; a round is one heartbeat to everybody with a
 * number of its own, and a quorum of answers to that number, or a later one, confirms all reads that were waiting
 * when the round began. One round is under way at a time, so that reads pile up into the next instead of each
 * costing messages. A number is never used again within the leader's term: a late answer confirms only reads that
 * were there when its question was asked.
 */
export class ReadRounds {
  #waiting: number[] = [];
  #round: { readonly contexts: readonly number[]; readonly index: Index } | undefined;
  #counter = 0;
  #confirmed: ReadState[] = [];

  /** The number that heartbeats carry now. */
  get context(): number {
    return this.#counter;
  }

  get isUnderWay(): boolean {
    return this.#round !== undefined;
  }

  get hasWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  add(context: number): void {
    this.#waiting.push(context);
  }

  /** Starts a round for everything that waits; `commit` is what its reads must see applied. */
  begin(commit: Index): void {
    assert(this.#round === undefined, "one read round at a time");
    this.#counter++;
    this.#round = { contexts: this.#waiting, index: commit };
    this.#waiting = [];
  }

  /** A quorum has answered the round under way. */
  confirm(): void {
    assert(this.#round !== undefined, "a round is confirmed while it is under way");
    for (const context of this.#round.contexts) this.#confirmed.push({ context, index: this.#round.index });
    this.#round = undefined;
  }

  take(): readonly ReadState[] {
    if (this.#confirmed.length === 0) return none;
    const taken = this.#confirmed;
    this.#confirmed = [];
    return taken;
  }
}

const none: readonly ReadState[] = [];
