import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault:
    "A start does not make durable what it reads of the store, and removes files that an older MANIFEST names.",
  edits: [
    {
      file: "src/leveldb/run-folder.ts",
      from: `      env.disk.syncFolder(folder);
      removeOrphans(`,
      to: "      removeOrphans(",
    },
  ],
  kinds: ["crash-twice"],
  runsMax: 400,
};
