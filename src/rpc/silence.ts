import type { Clock } from "../env/clock.ts";

/**
 * Judges whether the other side of a connection is silent. The connection is looked at from time to time. What counts is
 * looks at which nothing had arrived since the look before, not time: between two looks everything was read that had come.
 * So a process that was stopped or busy does not take its own standstill for the silence of others.
 */
export class Silence {
  readonly #clock: Clock;
  readonly #everyMs: number;
  #looks = 0;
  #lookedAtMs: number;

  /** There is to be a look every `everyMs`. */
  constructor(clock: Clock, everyMs: number) {
    this.#clock = clock;
    this.#everyMs = everyMs;
    this.#lookedAtMs = clock.monotonicMs();
  }

  /** One look: whether anything has arrived since the last one. Returns how many in a row found nothing. */
  look(hasHeard: boolean): number {
    const nowMs = this.#clock.monotonicMs();
    const isLate = nowMs - this.#lookedAtMs > 2 * this.#everyMs;
    this.#lookedAtMs = nowMs;
    if (hasHeard) this.#looks = 0;
    // What arrived while this process stood still may not be read yet.
    else if (!isLate) this.#looks++;
    return this.#looks;
  }

  /** Begins anew. */
  reset(): void {
    this.#looks = 0;
    this.#lookedAtMs = this.#clock.monotonicMs();
  }
}
