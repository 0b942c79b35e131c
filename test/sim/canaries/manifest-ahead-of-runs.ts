import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "The MANIFEST names files whose content becomes durable only after it.",
  edits: [
    {
      file: "src/leveldb/table-writer.ts",
      from: "    this.#table.finish();\n",
      to: "",
    },
    {
      file: "src/leveldb/upkeep.ts",
      from: "    writeManifest(this.#env.disk, this.#folder, installed);\n",
      to: `    writeManifest(this.#env.disk, this.#folder, installed);
    for (const { file } of build.outputs)
      this.#env.disk.open(runPath(this.#folder, file.number), "write").sync();
`,
    },
  ],
  kinds: ["power-cut-at"],
  runsMax: 300,
};
