import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A cluster counts as formed when one of the other servers has stored it.",
  edits: [
    {
      file: "src/server/formation.ts",
      from: "    if (place !== 0 || !replies.every(isReady)) return;",
      to: '    if (place !== 0 || (state === "alone" && !replies.every(isReady))) return;',
    },
    {
      file: "src/server/formation.ts",
      from: "    else if (prepared && replies.every((reply) => reply?.clusterId === clusterId)) this.#finish();",
      to: "    else if (prepared && replies.some((reply) => reply?.clusterId === clusterId)) this.#finish();",
    },
  ],
  runsMax: 200,
};
