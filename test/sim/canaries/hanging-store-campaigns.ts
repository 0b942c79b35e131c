import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A node whose store hangs campaigns, and would hold up the cluster as its leader.",
  edits: [
    {
      file: "src/raft/stalls.ts",
      from: "return !this.#write.hangsFor(electionTicksMin) && this.#storeTicks < electionTicksMin;",
      to: "return !this.#write.hangsFor(electionTicksMin);",
    },
  ],
  kinds: ["store-hang", "kill", "isolate"],
  runsMax: 20,
};
