import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A node that was removed may come in again with its old data.",
  edits: [
    {
      file: "src/server/members.ts",
      from: "    removed: removed.slice(-removedMax),",
      to: "    removed: removed.slice(0, 0),",
    },
  ],
  kinds: ["remove", "replace", "join"],
  runsMax: 50,
};
