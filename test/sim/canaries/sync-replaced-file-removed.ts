import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "The new content of MANIFEST or identity is not synced before it gets its name.",
  edits: [
    {
      file: "src/env/replace-file.ts",
      from: `    file.write(0, content);
    file.sync();`,
      to: "    file.write(0, content);",
    },
  ],
  runsMax: 200,
};
