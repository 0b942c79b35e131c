import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A leader sets wall time before it has heard the clocks of a quorum.",
  edits: [
    {
      file: "src/server/cluster-time.ts",
      from: 'if (isVote || message.kind === "heartbeat-reply")',
      to: 'if (message.kind === "heartbeat-reply")',
    },
    {
      file: "src/server/cluster-time.ts",
      from: "    if (!isQuorum(configuration, (id) => this.#wallOf(id, nowMs) !== undefined)) return this.#offsetMs;\n",
      to: "",
    },
    {
      file: "src/server/cluster-time.ts",
      from: "    if (!isQuorum(raft.configuration, (id) => this.#wallOf(id, nowMs) !== undefined)) return;\n",
      to: "",
    },
  ],
  runsMax: 100,
};
