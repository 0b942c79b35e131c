import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "The content of a run's file is not synced.",
  edits: [
    {
      file: "src/leveldb/table-writer.ts",
      from: "    this.#table.finish();\n",
      to: "",
    },
  ],
  runsMax: 300,
};
