import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "Members that were moved are looked for where the list of members says, and nowhere else.",
  edits: [
    {
      file: "src/server/whereabouts.ts",
      from: "    if (isAddress && this.#book.found(member, address)) this.#options.changed();",
      to: "    if (isAddress && address === member.address) this.#options.changed();",
    },
  ],
  kinds: ["swap", "move"],
  runsMax: 100,
};
