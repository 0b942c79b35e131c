import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A run is not synced: its builder does not wait for the disk.",
  edits: [
    {
      file: "src/leveldb/run-builder.ts",
      from: `    this.#table.finish((error) => {
      if (this.#state !== "syncing") return;
      if (error === undefined) this.#state = "durable";
      else this.#failure = error;
    });
    this.#state = "syncing";`,
      to: `    this.#table.finish(() => {});
    this.#state = "durable";`,
    },
  ],
  runsMax: 300,
};
