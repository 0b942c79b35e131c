import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "The log is dropped as far as it is committed, further than MANIFEST says that the store goes.",
  edits: [
    {
      file: "src/server/log-compaction.ts",
      from: "    const upTo = Math.min(store.applied.index, heldIndex());",
      to: "    const upTo = Math.min(Math.max(store.applied.index, persister.readRaftState().hardState.commit), heldIndex());",
    },
  ],
  runsMax: 100,
};
