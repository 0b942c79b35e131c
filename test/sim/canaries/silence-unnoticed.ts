import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A connection on which nothing arrives is kept, and no other one is dialled beside it.",
  edits: [
    {
      file: "src/rpc/client-end.ts",
      from: "    if (looks >= silentLooks) {",
      to: "    if (looks >= 1_000_000) {",
    },
  ],
  runsMax: 200,
};
