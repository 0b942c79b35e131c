import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A node that has taken over a state goes by no members.",
  edits: [
    {
      file: "src/server/node.ts",
      from: "    this.#driver.restored(this.#storedMembers());",
      to: "    this.#driver.restored(noMembers);",
    },
  ],
  runsMax: 50,
};
