import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A learner campaigns when it hears no leader.",
  edits: [
    {
      file: "src/raft/raft.ts",
      from: "if (!this.#configurations.mayLead(this.#options.id) || this.#term >= termMax) return;",
      to: "if (this.#term >= termMax) return;",
    },
  ],
  kinds: ["join", "isolate", "kill"],
  runsMax: 50,
};
