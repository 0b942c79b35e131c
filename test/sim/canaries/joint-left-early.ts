import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A joint configuration is left before it is committed.",
  edits: [
    {
      file: "src/raft/raft.ts",
      from: "if (!this.#configurations.isSettled || !office.hasCommittedInTerm || office.isTransferring)",
      to: "if (!office.hasCommittedInTerm || office.isTransferring)",
    },
    {
      file: "src/server/member-requests.ts",
      from: "    const mayChange = driver.isReady && raft.isSettled && !raft.isTransferring;",
      to: "    const mayChange = driver.isReady && !raft.isTransferring;",
    },
  ],
  kinds: ["join", "replace", "remove"],
  runsMax: 100,
};
