import type { Fault } from "./fault.ts";

/** Which faults began, and how evenly. */
export class FaultStatistics {
  readonly #counts = new Map<string, number>();
  #beats = 0;
  #lastBeatMs = performance.now();
  #longestGapMs = 0;

  /** `isBeat`: it is one of those that must follow each other closely. */
  began(fault: Fault, isBeat: boolean): void {
    this.#counts.set(fault.name, (this.#counts.get(fault.name) ?? 0) + 1);
    if (!isBeat) return;
    this.#beats++;
    this.ended();
  }

  /** No more faults will begin; the time until now counts as a gap too. */
  ended(): void {
    const nowMs = performance.now();
    this.#longestGapMs = Math.max(this.#longestGapMs, nowMs - this.#lastBeatMs);
    this.#lastBeatMs = nowMs;
  }

  /** Kills, pauses and partitions. */
  get beats(): number {
    return this.#beats;
  }

  /** The longest time between the beginnings of two kills, pauses or partitions, in ms. */
  get longestGapMs(): number {
    return this.#longestGapMs;
  }

  /** `kill one 3, pause all 1`, the most frequent first. */
  describe(): string {
    const ordered = [...this.#counts].sort(([, one], [, other]) => other - one);
    return ordered.map(([name, count]) => `${name} ${count}`).join(", ");
  }
}
