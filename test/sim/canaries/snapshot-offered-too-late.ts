import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A follower that needs the last entry which was dropped is not offered a snapshot.",
  edits: [
    {
      file: "src/raft/leader.ts",
      from: "    if (progress.next < log.firstIndex) progress.becomeSnapshot(log.firstIndex);",
      to: "    if (progress.next < log.firstIndex - 1) progress.becomeSnapshot(log.firstIndex);",
    },
  ],
  runsMax: 50,
};
