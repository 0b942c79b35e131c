import type { Fault } from "./fault.ts";

/** Which faults began and did something, and how evenly. */
export class FaultStatistics {
  readonly #counts = new Map<string, { begun: number; met: number }>();
  #beats = 0;
  #lastBeatMs = performance.now();
  #longestGapMs = 0;

  /** Of these faults there is a count, also when none began. */
  constructor(faults: readonly Fault[]) {
    for (const { name } of faults) this.#counts.set(name, { begun: 0, met: 0 });
  }

  /** `isBeat`: it is one of those that must follow each other closely. */
  began(fault: Fault, isBeat: boolean): void {
    this.#counts.get(fault.name)!.begun++;
    if (!isBeat) return;
    this.#beats++;
    this.ended();
  }

  /** It is over, and did something. */
  met(fault: Fault): void {
    this.#counts.get(fault.name)!.met++;
  }

  /** Faults that did nothing in the whole run. */
  get idle(): string[] {
    return [...this.#counts].filter(([, { met }]) => met === 0).map(([name]) => name);
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

  /** `kill one 3, silence around one 1 of 2`, the most frequent first. */
  describe(): string {
    const ordered = [...this.#counts].sort(([, one], [, other]) => other.begun - one.begun);
    const told = ordered.map(
      ([name, { begun, met }]) => `${name} ${met === begun ? met : `${met} of ${begun}`}`,
    );
    return told.join(", ");
  }
}
