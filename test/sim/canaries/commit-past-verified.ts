import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A follower commits up to the leader's commit, past what the message has shown to agree.",
  edits: [
    {
      file: "src/raft/follower.ts",
      from: "this.#log.commitTo(Math.min(message.commit, verified));",
      to: "this.#log.commitTo(Math.min(message.commit, this.#log.lastIndex));",
    },
  ],
  runsMax: 100,
};
