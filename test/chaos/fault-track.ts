import type { Prng } from "../../src/env/prng.ts";
import type { Begun, Fault, Stage } from "./fault.ts";
import { sleep } from "./sleep.ts";

export interface FaultTrackOptions {
  readonly stage: Stage;
  readonly menu: readonly Fault[];
  readonly prng: Prng;
  /** How long after a fault began the next one begins. */
  readonly nextMs: (prng: Prng, holdMs: number) => number;
  readonly began: (fault: Fault, begun: Begun) => void;
  /** It is healed, and did something. */
  readonly met: (fault: Fault) => void;
}

/**
 * Begins fault after fault until it is told to stop, and heals each when its time is up. A fault may still hold when
 * the next one begins.
 */
export class FaultTrack {
  readonly #options: FaultTrackOptions;
  readonly #healing = new Set<Promise<void>>();

  constructor(options: FaultTrackOptions) {
    this.#options = options;
  }

  /** Resolves when the signal has come and everything is healed; rejects when a fault or its end goes wrong. */
  async run(signal: AbortSignal): Promise<void> {
    const { prng, nextMs } = this.#options;
    const failed = Promise.withResolvers<never>();
    failed.promise.catch(() => {});
    while (!signal.aborted) {
      const { fault, begun } = await this.#beginOne();
      const { holdMs, heal } = begun;
      const healed = sleep(holdMs, signal)
        .then(heal)
        .then(() => {
          if (begun.met === undefined || begun.met()) this.#options.met(fault);
        });
      this.#healing.add(healed);
      healed.then(() => this.#healing.delete(healed), failed.reject);
      await Promise.race([sleep(nextMs(prng, holdMs), signal), failed.promise]);
    }
    await Promise.all(this.#healing);
  }

  /** Draws until there is somebody to hit. Each menu has faults that need nobody, so this ends. */
  async #beginOne(): Promise<{ readonly fault: Fault; readonly begun: Begun }> {
    const { stage, menu, prng, began } = this.#options;
    for (;;) {
      const fault = drawFault(prng, menu);
      const begun = await fault.begin(stage, prng);
      if (begun === undefined) continue;
      began(fault, begun);
      return { fault, begun };
    }
  }
}

function drawFault(prng: Prng, menu: readonly Fault[]): Fault {
  const total = menu.reduce((sum, { weight }) => sum + weight, 0);
  let at = prng.int(1, total);
  for (const fault of menu) {
    at -= fault.weight;
    if (at <= 0) return fault;
  }
  throw new Error("Cannot draw a fault: the menu is empty");
}
