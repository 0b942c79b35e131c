import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault:
    "How far a member had acknowledged the log is not remembered: a copy of a running node's folder counts.",
  edits: [
    {
      file: "src/server/member-boots.ts",
      from: "    if (match > 0) folder.memory.noteIndex(nodeId, Math.min(match, commit));",
      to: "    if (match > commit + 1e9) folder.memory.noteIndex(nodeId, match);",
    },
  ],
  kinds: ["set-back"],
  isStatic: true,
  runsMax: 30,
};
