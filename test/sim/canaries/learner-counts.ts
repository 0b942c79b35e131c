import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "What a learner has counts towards the majority.",
  edits: [
    {
      file: "src/raft/quorum.ts",
      from: "  return Math.min(majorityIndex(configuration.incoming, held), majorityIndex(configuration.outgoing, held));",
      to: `  const { incoming, learners } = configuration;
  const descending = [...incoming, ...learners].map(held).sort((a, b) => b - a);
  return Math.min(descending[Math.floor(incoming.length / 2)]!, majorityIndex(configuration.outgoing, held));`,
    },
  ],
  kinds: ["join", "isolate"],
  runsMax: 200,
};
