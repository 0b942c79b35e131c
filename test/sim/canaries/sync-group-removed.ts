import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A group of the Raft log is written and not synced.",
  edits: [
    {
      file: "src/raftlog/segment-appender.ts",
      from: "    this.#file.writeDurably(offset, bytes, done);",
      to: `    this.#file.write(offset, bytes);
    queueMicrotask(() => done());`,
    },
  ],
  runsMax: 100,
};
