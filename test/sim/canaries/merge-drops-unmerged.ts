import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A step of a merge lets go of a file that reaches past what was moved.",
  edits: [
    {
      file: "src/leveldb/upkeep.ts",
      from: "compareBytes(file.largest, nextKey) >= 0)",
      to: "compareBytes(file.smallest, nextKey) >= 0)",
    },
  ],
  runsMax: 50,
};
