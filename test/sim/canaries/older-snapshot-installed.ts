import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A state is taken over although what is here is as new.",
  edits: [
    {
      file: "src/server/driver.ts",
      from: "    if (this.#isStopped || this.#isRestoring || index <= this.#appliedIndex) return false;",
      to: "    if (this.#isStopped || this.#isRestoring) return false;",
    },
    {
      file: "src/server/snapshot-fetch.ts",
      from: "    if (this.isStopped || head.index <= driver.applied.index) return undefined;",
      to: "    if (this.isStopped) return undefined;",
    },
  ],
  kinds: ["lag-crash", "kill"],
  runsMax: 400,
};
