import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A member is replaced by one that is a voter already: there is one voter fewer.",
  edits: [
    {
      file: "src/server/member-change.ts",
      from: `  if (oldStanding === "voter" && newStanding === "voter")`,
      to: `  if (oldStanding === "voter" && newStanding === "unknown")`,
    },
  ],
  kinds: ["mistake", "join"],
  runsMax: 50,
};
