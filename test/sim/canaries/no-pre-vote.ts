import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A node raises its term without asking first whether anybody would vote for it.",
  edits: [
    {
      file: "src/raft/raft.ts",
      from: `    this.#requestVotes(this.#term + 1, { preVote: true, isTransfer: false });
    this.#countVote(this.#options.id, true, true);`,
      to: '    this.#campaign("nobody was asked", false);',
    },
  ],
  runsMax: 20,
};
