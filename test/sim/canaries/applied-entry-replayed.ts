import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "The store says that it goes up to the entry before the last one that it contains.",
  edits: [
    {
      file: "src/server/driver.ts",
      from: "    this.#options.store.seal(this.applied);",
      to: "    this.#options.store.seal({ index: this.#appliedIndex - 1, term: this.#appliedTerm });",
    },
  ],
  runsMax: 100,
};
