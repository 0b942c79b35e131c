import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A peer whose connection was merely reset is said to be gone.",
  edits: [
    {
      file: "src/server/loss-verdict.ts",
      from: 'return kind === "nobody" || (reply !== undefined && this.#isAnother(reply));',
      to: 'return kind === "nobody" || reply !== undefined;',
    },
  ],
  kinds: ["flap", "reset"],
  runsMax: 20,
};
