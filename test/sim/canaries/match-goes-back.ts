import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A late acknowledgement takes back what a leader knows a follower to have.",
  edits: [
    {
      file: "src/raft/progress.ts",
      from: `    if (isNew) {
      this.match = index;`,
      to: `    this.match = index;
    if (isNew) {`,
    },
  ],
  runsMax: 50,
};
