import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "The name of a run is not made durable before the MANIFEST names it.",
  edits: [
    {
      file: "src/leveldb/run-folder.ts",
      from: `    this.#env.disk.syncFolder(this.#folder);
    return new Run`,
      to: "    return new Run",
    },
  ],
  kinds: ["power-cut-at"],
  runsMax: 600,
};
