import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A leader that the committed configuration leaves out goes on leading.",
  edits: [
    {
      file: "src/raft/raft.ts",
      from: "    const isOver = this.#configurations.isSettled && !isVoter(this.configuration, this.#options.id);",
      to: "    const isOver = false as boolean;",
    },
  ],
  kinds: ["remove", "join", "replace"],
  runsMax: 50,
};
