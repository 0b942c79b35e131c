import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A vote is given without being written to the disk.",
  edits: [
    {
      file: "src/raft/raft.ts",
      from: `      if (this.#vote === undefined) this.#hardStateChanged = true;
`,
      to: "",
    },
  ],
  runsMax: 50,
};
