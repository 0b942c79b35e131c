import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "The MANIFEST names a run whose content is not durable yet.",
  edits: [
    {
      file: "src/leveldb/run-builder.ts",
      from: '    this.#state = "syncing";',
      to: '    this.#state = "durable";',
    },
  ],
  runsMax: 300,
};
