import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A leader answers reads without asking a quorum whether it still leads.",
  edits: [
    {
      file: "src/raft/leader.ts",
      from: "if (isQuorum(configuration(), has)) this.#reads.confirm();",
      to: "if (has(id)) this.#reads.confirm();",
    },
  ],
  runsMax: 300,
};
