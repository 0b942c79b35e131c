import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A node that starts does not remember for whom it voted.",
  edits: [
    {
      file: "src/server/make-raft.ts",
      from: `    hardState,
    log,`,
      to: `    hardState: { ...hardState, vote: undefined },
    log,`,
    },
  ],
  runsMax: 50,
};
