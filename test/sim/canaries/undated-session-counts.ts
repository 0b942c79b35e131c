import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault:
    "A client dates a session by a server that knows no lease time, as if lease time began when it was asked.",
  edits: [
    {
      file: "src/rpc/client-end.ts",
      from: " || this.#reply.timeMs === 0) return 0;",
      to: ") return 1;",
    },
    {
      file: "src/client/write-queue.ts",
      from: " && session?.bornMs !== 0;",
      to: ";",
    },
  ],
  firstSeed: 10,
  runsMax: 200,
};
