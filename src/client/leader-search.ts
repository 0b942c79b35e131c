import { type Address, formatAddress } from "../lib/address.ts";
import type { ClientEnd } from "../rpc/client-end.ts";
import type { Failure } from "./call-reply.ts";

/** Milliseconds between two tries: short at first, since an election takes little longer than its timeout. */
const backOffMinMs = 10;
const backOffMaxMs = 100;

type Lateness = Pick<Failure, "leader" | "isLate">;

/** Which end to ask, and when: the last known leader, whoever a server names, or the next one in turn. */
export class LeaderSearch {
  readonly #ends: ClientEnd[];
  readonly #dial: (address: Address) => ClientEnd;
  #at: number;
  /** Tries that failed in a row. */
  #failures = 0;
  /** Nobody asks again before this moment: many callers that fail together are one failure. */
  #notBeforeMs = 0;

  readonly #attemptMs: number;

  /**
   * `dial` makes an end for a leader that is not among the known ones; `attemptMs` is how long a try may take that is not
   * cut short by its request's deadline.
   */
  constructor(ends: readonly ClientEnd[], attemptMs: number, dial: (address: Address) => ClientEnd) {
    this.#ends = [...ends];
    this.#at = 0;
    this.#attemptMs = attemptMs;
    this.#dial = dial;
  }

  get ends(): readonly ClientEnd[] {
    return this.#ends;
  }

  get current(): ClientEnd {
    return this.#ends[this.#at]!;
  }

  /** `end` has answered as a leader does. */
  found(end: ClientEnd): void {
    if (end === this.current) this.#failures = 0;
  }

  /**
   * `end` did not help within `timeoutMs`. Returns how long to wait before the next try, in ms. An end that was given
   * little time, because the request's deadline was near, and has not answered in it, keeps its place: else short deadlines
   * would drive a client past a leader that is merely far away, again and again.
   */
  failed(end: ClientEnd, { leader, isLate }: Lateness, timeoutMs: number, nowMs: number): number {
    if (isLate && timeoutMs < this.#attemptMs / 2) return 0;
    if (end === this.current) {
      const place = leader === undefined ? -1 : this.#placeOf(leader);
      this.#at = place >= 0 ? place : (this.#at + 1) % this.#ends.length;
      this.#failures++;
      // One round without waiting, so that a leader which is there is found at once.
      const rounds = this.#failures - this.#ends.length;
      if (rounds >= 0)
        this.#notBeforeMs = nowMs + Math.min(backOffMaxMs, backOffMinMs * 2 ** Math.min(rounds, 8));
    }
    return Math.max(0, this.#notBeforeMs - nowMs);
  }

  #placeOf(address: Address): number {
    const name = formatAddress(address);
    const place = this.#ends.findIndex((end) => formatAddress(end.address) === name);
    return place >= 0 ? place : this.#ends.push(this.#dial(address)) - 1;
  }
}
