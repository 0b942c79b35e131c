import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A read sees the rows of a file that a merge under way has moved elsewhere.",
  edits: [
    {
      file: "src/leveldb/run.ts",
      from: "    if (from !== undefined && compareBytes(key, from) < 0) return undefined;\n",
      to: "",
    },
  ],
  runsMax: 300,
};
