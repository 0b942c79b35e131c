import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A late answer to a heartbeat confirms reads that were asked for after it.",
  edits: [
    {
      file: "src/raft/leader.ts",
      from: "progress.confirmedContext = Math.max(progress.confirmedContext, reply.context);",
      to: "progress.confirmedContext = this.#reads.context;",
    },
  ],
  runsMax: 400,
};
