import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A run that is finished at once, for a graceful stop or a full memory, is not synced.",
  edits: [
    {
      file: "src/leveldb/run-builder.ts",
      from: `    this.#table?.finishNow();
    this.#state = "durable";`,
      to: `    if (this.#state === "complete") this.#table?.finish(() => {});
    this.#state = "durable";`,
    },
  ],
  kinds: ["stop", "power-cut", "power-cut-at"],
  runsMax: 300,
};
