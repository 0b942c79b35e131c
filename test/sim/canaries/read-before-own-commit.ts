import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A new leader answers reads before it has committed an entry of its own term.",
  edits: [
    {
      file: "src/raft/raft.ts",
      from: "if (this.#office === undefined || !this.#office.hasCommittedInTerm) return { ok: false };",
      to: "if (this.#office === undefined) return { ok: false };",
    },
    {
      file: "src/server/driver.ts",
      from: "return this.#raft.isLeader && this.#readyTerm === this.#raft.term;",
      to: "return this.#raft.isLeader;",
    },
  ],
  runsMax: 200,
};
