import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "The result of a command is forgotten at once, so that a retry cannot be told it.",
  edits: [
    {
      file: "src/kv/session-table.ts",
      from: "const acknowledged = Math.min(stamp.acknowledged, session.last - 1) - session.first + 1;",
      to: "const acknowledged = session.last - session.first + 1;",
    },
  ],
  runsMax: 200,
};
