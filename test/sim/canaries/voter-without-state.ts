import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A learner that has no state yet becomes a voter, when it lacks few entries.",
  edits: [
    {
      file: "src/server/caught-up.ts",
      from: `  if (sent !== undefined && progress.state !== "replicate")`,
      to: `  if (sent !== undefined && progress.match < 0)`,
    },
    {
      file: "src/server/caught-up.ts",
      from: `  if (progress.state === "snapshot") return`,
      to: `  if (progress.match < 0) return`,
    },
    {
      file: "src/server/caught-up.ts",
      from: `  if (progress.state !== "replicate" || progress.match === 0)`,
      to: `  if (progress.match < 0)`,
    },
  ],
  kinds: ["mistake", "join"],
  runsMax: 100,
};
