import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A group of the Raft log counts as durable before its sync has ended.",
  edits: [
    {
      file: "src/raftlog/segment-appender.ts",
      from: "    this.#file.writeDurably(offset, bytes, done);",
      to: `    this.#file.writeDurably(offset, bytes, (error) => {
      if (error !== undefined) done(error);
    });
    queueMicrotask(() => done());`,
    },
  ],
  runsMax: 150,
};
