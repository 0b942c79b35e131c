import type { Operation } from "../history/operation.ts";

/** What all clients did and saw, and what that says of the cluster while it runs. */
export class Recorder {
  readonly history: Operation[] = [];
  readonly counts = { ok: 0, unknown: 0, failed: 0 };
  /** The longest time between two acknowledged writes, in ms. */
  longestSilenceMs = 0;
  #lastWriteMs = performance.now();

  add(operation: Operation): void {
    this.history.push(operation);
    this.counts[operation.outcome]++;
    if (operation.outcome === "ok" && operation.operation !== "get") this.#wrote(operation.end);
  }

  /** The time since a write was acknowledged, in ms. */
  get silenceMs(): number {
    return performance.now() - this.#lastWriteMs;
  }

  #wrote(atMs: number): void {
    this.longestSilenceMs = Math.max(this.longestSilenceMs, atMs - this.#lastWriteMs);
    this.#lastWriteMs = atMs;
  }
}
