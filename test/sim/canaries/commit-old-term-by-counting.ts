import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A leader commits entries of older terms by counting replicas (figure 8 of the paper).",
  edits: [
    {
      file: "src/raft/leader.ts",
      from: "if (index <= log.commit || log.term(index) !== term) return false;",
      to: "if (index <= log.commit) return false;",
    },
  ],
  runsMax: 100,
};
