import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "The names of a run's files are not made durable before the MANIFEST names them.",
  edits: [
    {
      file: "src/leveldb/upkeep.ts",
      from: "    if (build.outputs.length > 0) this.#env.disk.syncFolder(this.#folder);\n",
      to: "",
    },
  ],
  kinds: ["power-cut-at"],
  runsMax: 600,
};
