import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A new leader counts lease time from its own beginning, below the stamps in its log.",
  edits: [
    {
      file: "src/server/cluster-time.ts",
      from: "this.#leaseMs = Math.max(1, machine.clockMs, this.#toldMs);",
      to: "this.#leaseMs = 1;",
    },
  ],
  runsMax: 100,
};
