import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "MANIFEST does not say where the log begins that follows a state from another node.",
  edits: [
    {
      file: "src/leveldb/upkeep.ts",
      from: "historyFloor: sequence, logStart: applied, runs",
      to: "historyFloor: sequence, runs",
    },
  ],
  kinds: ["lag-crash", "isolate"],
  runsMax: 300,
};
