import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A leader that no quorum answers goes on leading.",
  edits: [
    {
      file: "src/raft/raft.ts",
      from: "      if (!office.checkQuorum()) return",
      to: "      if (!office.checkQuorum() && this.#term < 0) return",
    },
  ],
  runsMax: 50,
};
