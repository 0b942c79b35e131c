import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A joint configuration decides by the majority of its new half alone.",
  edits: [
    {
      file: "src/raft/quorum.ts",
      from: "  return isMajority(configuration.incoming, has) && isMajority(configuration.outgoing, has);",
      to: "  return isMajority(configuration.incoming, has);",
    },
    {
      file: "src/raft/quorum.ts",
      from: "  return Math.min(majorityIndex(configuration.incoming, held), majorityIndex(configuration.outgoing, held));",
      to: "  return majorityIndex(configuration.incoming, held);",
    },
  ],
  kinds: ["replace", "replace-all", "remove", "isolate"],
  runsMax: 300,
};
