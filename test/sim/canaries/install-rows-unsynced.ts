import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "MANIFEST names the rows of another node's state before they are durable.",
  edits: [
    {
      file: "src/leveldb/table-writer.ts",
      from: `    this.#table.finish();
`,
      to: "",
    },
    {
      file: "src/leveldb/upkeep.ts",
      from: "    if (build.outputs.length > 0) this.#env.disk.syncFolder(this.#folder);",
      to: `    if (install === undefined)
      for (const { file } of build.outputs) this.#env.disk.open(runPath(this.#folder, file.number), "write").sync();
    if (build.outputs.length > 0) this.#env.disk.syncFolder(this.#folder);`,
    },
  ],
  kinds: ["lag-crash"],
  runsMax: 200,
};
