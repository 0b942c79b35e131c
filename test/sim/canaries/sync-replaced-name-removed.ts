import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "The new name of MANIFEST or identity is not made durable.",
  edits: [
    {
      file: "src/env/replace-file.ts",
      from: `  disk.syncFolder(folder);
`,
      to: "",
    },
  ],
  runsMax: 300,
};
