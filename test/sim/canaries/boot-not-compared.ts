import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault:
    "The list of starts of a folder is believed to hold every start that is remembered, and its log to be whole.",
  edits: [
    {
      file: "src/server/boot-rules.ts",
      from: "  const { admitted, replicated, term, index } = remembered;",
      to: "  const { admitted, replicated, term, index } = { ...remembered, term: 0, index: 0 };",
    },
    {
      file: "src/server/boot-list.ts",
      from: "if (boot.number < 1 || boot.number > this.boot.number) return false;",
      to: "if (boot.number > 0) return true;",
    },
  ],
  kinds: ["set-back"],
  isStatic: true,
  runsMax: 20,
};
