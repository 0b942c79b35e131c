import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault:
    "A flush or a merge drops tombstones though there are older runs, so that what was deleted comes back.",
  edits: [
    {
      file: "src/leveldb/upkeep.ts",
      from: "isBottom: this.#known.runs.length === 0",
      to: "isBottom: true",
    },
    {
      file: "src/leveldb/upkeep.ts",
      from: "      isBottom: range.to === runs.length,",
      to: "      isBottom: true,",
    },
  ],
  runsMax: 100,
};
