import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A node votes for a candidate whose log is shorter than its own.",
  edits: [
    {
      file: "src/raft/raft-log.ts",
      from: "return last.term > own.term || (last.term === own.term && last.index >= own.index);",
      to: "return last.term >= own.term;",
    },
  ],
  runsMax: 100,
};
