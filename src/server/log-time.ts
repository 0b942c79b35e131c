import type { Clock } from "../env/clock.ts";

/**
 * The time that this node stamps into commands and tells clients at their hello: never behind its own clock nor the
 * log's, and always moving on as fast as time does.
 *
 * A leader whose clock was fast leaves the log's time ahead of everybody's clock. Were that time to stand still until
 * the clocks catch up, sessions that clients date by it would soon lie in the future, and be refused.
 */
export class LogTime {
  readonly #clock: Clock;
  #knownMs = 0;
  /** The monotonic time at which it was `knownMs`. */
  #knownAtMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#knownAtMs = clock.monotonicMs();
  }

  /** Now, in ms since 1970; `logMs` is what the log has reached. */
  nowMs(logMs: number): number {
    const atMs = this.#clock.monotonicMs();
    const passedMs = this.#knownMs + Math.floor(atMs - this.#knownAtMs);
    const nowMs = Math.max(passedMs, this.#clock.wallMs(), logMs);
    if (nowMs > passedMs) {
      this.#knownMs = nowMs;
      this.#knownAtMs = atMs;
    }
    return nowMs;
  }
}
