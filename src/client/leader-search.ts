import { type Address, formatAddress } from "../lib/address.ts";
import type { ClientEnd } from "../rpc/client-end.ts";

/** Milliseconds between two tries: short at first, since an election takes little longer than its timeout. */
const backOffMinMs = 10;
const backOffMaxMs = 100;

/** Which end to ask, and when: the last known leader, whoever a server names, or the next one in turn. */
export class LeaderSearch {
  readonly #ends: ClientEnd[];
  readonly #dial: (address: Address) => ClientEnd;
  #at: number;
  /** Tries that failed in a row. */
  #failures = 0;
  /** Nobody asks again before this moment: many callers that fail together are one failure. */
  #notBeforeMs = 0;

  /** `dial` makes an end for a leader that is not among the known ones. */
  constructor(ends: readonly ClientEnd[], dial: (address: Address) => ClientEnd) {
    this.#ends = [...ends];
    this.#at = 0;
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

  /** `end` did not help; `leader` is whom it named. Returns how long to wait before the next try, in ms. */
  failed(end: ClientEnd, leader: Address | undefined, nowMs: number): number {
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
