import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A leader moves wall time to its own clock, not to the voters' median.",
  edits: [
    {
      file: "src/server/cluster-time.ts",
      from: "    const leaseMs = Math.floor(this.#leaseMs);\n    return medianOffset(",
      to: "    const leaseMs = Math.floor(this.#leaseMs);\n    if (leaseMs >= 0) return this.#ownWallMs - leaseMs;\n    return medianOffset(",
    },
  ],
  kinds: ["clock-jump", "kill"],
  runsMax: 100,
};
