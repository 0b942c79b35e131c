import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "What a log holds that a snapshot contradicts stays behind it.",
  edits: [
    {
      file: "src/raft/raft-log.ts",
      from: "    const goesOn = this.has(snapshot);",
      to: "    const goesOn = this.has(snapshot) || snapshot.index <= this.lastIndex;",
    },
  ],
  kinds: ["isolate", "partition", "lag-crash"],
  runsMax: 400,
};
