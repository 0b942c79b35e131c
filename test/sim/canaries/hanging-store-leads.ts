import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A leader whose store hangs goes on leading, while committed entries wait for it.",
  edits: [
    {
      file: "src/raft/stalls.ts",
      from: "if (this.#storeTicks < stallTicks || voterCount === 1) return undefined;",
      to: "return undefined;",
    },
  ],
  kinds: ["store-hang"],
  runsMax: 20,
};
