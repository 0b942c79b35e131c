import { incidentKinds } from "./plan.ts";
import type { Report } from "./run-plan.ts";

interface Count {
  times: number;
  /** Runs in which there was at least one. */
  runs: number;
}

/** What many runs have had between them: what came of the protocol, and how often each kind of fault did something. */
export class CoverageSum {
  readonly #counts = new Map<string, Count>();
  readonly #faults = new Map<string, Count & { begun: number }>(
    incidentKinds.map((kind) => [kind, { begun: 0, times: 0, runs: 0 }]),
  );

  add({ coverage, effects }: Report): void {
    for (const [name, times] of Object.entries(coverage)) {
      const count = this.#counts.get(name) ?? { times: 0, runs: 0 };
      this.#counts.set(name, { times: count.times + times, runs: count.runs + Number(times > 0) });
    }
    for (const [kind, { begun, met }] of effects) {
      const fault = this.#faults.get(kind)!;
      fault.begun += begun;
      fault.times += met;
      fault.runs += Number(met > 0);
    }
  }

  /** How often there was something of this name. */
  timesOf(name: string): number {
    return (this.#counts.get(name) ?? this.#faults.get(name))?.times ?? 0;
  }

  /** What nothing was seen of. */
  get missing(): string[] {
    const all = [...this.#counts, ...this.#faults];
    return all.filter(([, { times }]) => times === 0).map(([name]) => name);
  }

  describe(): string[] {
    return [
      ...[...this.#counts].map(([name, { times, runs }]) => `${name}: ${times} in ${runs} runs`),
      ...[...this.#faults].map(
        ([kind, { begun, times, runs }]) => `${kind}: ${times} of ${begun} did something, in ${runs} runs`,
      ),
    ];
  }
}
