import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A leader begins a change while the one before is not committed.",
  edits: [
    {
      file: "src/raft/raft.ts",
      from: "if (!this.#configurations.isSettled || !office.hasCommittedInTerm || office.isTransferring)",
      to: "if (!office.hasCommittedInTerm || office.isTransferring)",
    },
  ],
  kinds: ["join", "remove"],
  runsMax: 100,
};
