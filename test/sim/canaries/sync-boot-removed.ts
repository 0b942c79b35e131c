import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A start of a folder is not durable in its list before others hear of it.",
  edits: [
    {
      file: "src/server/boot-list.ts",
      from: `    file.sync();
`,
      to: "",
    },
  ],
  runsMax: 20,
};
