import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A step of a merge reads rows again that the steps before it have moved already.",
  edits: [
    {
      file: "src/leveldb/row-source.ts",
      from: "    while (from !== undefined && this.#pointer.compareKey(from) < 0) this.advance();\n",
      to: "",
    },
  ],
  runsMax: 50,
};
