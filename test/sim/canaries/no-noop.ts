import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A leader starts its term without an entry of its own.",
  edits: [
    {
      file: "src/raft/raft.ts",
      from: `    this.#append("noop", emptyBytes);
`,
      to: "",
    },
  ],
  runsMax: 20,
};
