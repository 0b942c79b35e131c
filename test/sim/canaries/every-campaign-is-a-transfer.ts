import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "Every campaign claims that the leader itself wants it.",
  edits: [
    {
      file: "src/raft/raft.ts",
      from: "    this.#requestVotes(this.#term, { preVote: false, isTransfer });",
      to: "    this.#requestVotes(this.#term, { preVote: false, isTransfer: true });",
    },
  ],
  runsMax: 20,
};
