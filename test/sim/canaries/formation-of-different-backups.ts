import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "Servers form a cluster though their folders hold different states.",
  edits: [
    {
      file: "src/server/formation.ts",
      from: "  if (request.backup !== backup)",
      to: "  if (request.backup.length > 64)",
    },
  ],
  runsMax: 100,
};
