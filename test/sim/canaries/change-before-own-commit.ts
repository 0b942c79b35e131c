import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A leader changes the members before it has committed an entry of its own term (Ongaro 2015).",
  edits: [
    {
      file: "src/raft/raft.ts",
      from: "if (!this.#configurations.isSettled || !office.hasCommittedInTerm || office.isTransferring)",
      to: "if (!this.#configurations.isSettled || office.isTransferring)",
    },
    {
      file: "src/server/member-requests.ts",
      from: "    if (this.#options.driver.isReady) run();",
      to: "    if (this.#options.raft.isLeader) run();",
    },
  ],
  kinds: ["join", "remove", "isolate", "slow-network", "disk-slow"],
  runsMax: 300,
};
