import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A leader that is left out counts its own disk towards the majority.",
  edits: [
    {
      file: "src/raft/leader.ts",
      from: "    const index = quorumIndex(configuration(), (voter) =>",
      to: `    const own = configuration();
    const counted = { ...own, incoming: [...new Set([...own.incoming, id])] };
    const index = quorumIndex(counted, (voter) =>`,
    },
  ],
  kinds: ["remove", "join", "replace"],
  runsMax: 200,
};
