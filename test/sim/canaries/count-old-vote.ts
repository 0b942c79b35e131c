import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A candidate counts votes of an older term.",
  edits: [
    {
      file: "src/raft/raft.ts",
      from: "    if (message.term === this.#term) this.#dispatch(message);",
      to: '    if (message.term === this.#term || message.kind === "request-vote-reply") this.#dispatch(message);',
    },
  ],
  kinds: ["slow-network", "clog"],
  runsMax: 200,
};
