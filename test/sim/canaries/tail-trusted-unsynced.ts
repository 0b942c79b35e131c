import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault:
    "What a start reads back counts as durable, although the process before it may have died before the sync.",
  edits: [
    {
      file: "src/raftlog/log-writer.ts",
      from: `      file.write(0, bytes);
      file.sync();`,
      to: "      file.write(0, bytes);",
    },
  ],
  runsMax: 200,
};
