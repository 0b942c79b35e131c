import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A merge takes the oldest run that it reads for the oldest of all.",
  edits: [
    {
      file: "src/leveldb/upkeep.ts",
      from: "      isBottom: range.to === runs.length,",
      to: "      isBottom: true,",
    },
  ],
  runsMax: 200,
};
