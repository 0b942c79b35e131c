import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "Lease time is the wall clock of whoever leads.",
  edits: [
    {
      file: "src/server/cluster-time.ts",
      from: "    this.#stampedMs = Math.floor(this.#leaseMs);\n",
      to: "    this.#stampedMs = this.#ownWallMs;\n",
    },
  ],
  runsMax: 100,
};
