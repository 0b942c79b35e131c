import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A file of the log is dropped whose last entry the store does not have yet.",
  edits: [
    {
      file: "src/raftlog/compaction.ts",
      from: "first.to > upTo + 1)",
      to: "first.to > upTo + 2)",
    },
  ],
  runsMax: 50,
};
