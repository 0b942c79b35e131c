import { assert } from "../lib/assert.ts";
import type { Chance } from "./types.ts";

/** Ticks in which the followers of a leader that is gone begin to campaign: as few as keep them apart. */
const goneTicksMax = 4;

/** How long nothing was heard, and how long that may last: drawn anew at each reset, to keep nodes apart (paper 5.2). */
export class ElectionTimer {
  /** Ticks since the last reset. */
  elapsed = 0;
  readonly #chance: Chance;
  readonly #min: number;
  readonly #max: number;
  #timeout = 0;

  constructor(chance: Chance, min: number, max: number) {
    assert(min <= max, "the election timeout is a range");
    this.#chance = chance;
    this.#min = min;
    this.#max = max;
    this.reset();
  }

  get hasRunOut(): boolean {
    return this.elapsed >= this.#timeout;
  }

  reset(): void {
    this.elapsed = 0;
    this.#timeout = this.#chance.int(this.#min, this.#max);
  }

  /** There is nothing to wait for any more. */
  hurry(): void {
    this.#timeout = Math.min(this.#timeout, this.elapsed + this.#chance.int(1, goneTicksMax));
  }
}
