import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "Nobody learns up to where a leader holds itself what is decided: set back, it counts.",
  edits: [
    {
      file: "src/raft/leader.ts",
      from: "    const held = Math.min(log.durable, log.commit);",
      to: "    const held = 0;",
    },
  ],
  kinds: ["set-back"],
  isStatic: true,
  runsMax: 20,
};
