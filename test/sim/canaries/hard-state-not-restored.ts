import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A node that starts does not remember for whom it voted.",
  edits: [
    {
      file: "src/server/node.ts",
      from: `      hardState,
      log: this.#persister,`,
      to: `      hardState: { ...hardState, vote: undefined },
      log: this.#persister,`,
    },
  ],
  runsMax: 50,
};
