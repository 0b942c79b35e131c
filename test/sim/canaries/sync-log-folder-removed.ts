import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "The name of a new segment is not made durable.",
  edits: [
    {
      file: "src/raftlog/log-writer.ts",
      from: `    this.#disk.syncFolder(this.#folder);
`,
      to: "",
    },
  ],
  runsMax: 200,
};
