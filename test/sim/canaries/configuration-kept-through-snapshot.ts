import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault:
    "A configuration that is not committed stays in force when a snapshot takes the place of the log (openraft 1808).",
  edits: [
    {
      file: "src/raft/configurations.ts",
      from: "    const later = logGoesOn ? this.#stack.filter((stamp",
      to: `    if (this.#stack.length > 1) return;
    const later = logGoesOn ? this.#stack.filter((stamp`,
    },
  ],
  kinds: ["join", "remove", "isolate", "lag-crash"],
  runsMax: 400,
};
