import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A configuration stays in force when its entry was replaced by another leader's.",
  edits: [
    {
      file: "src/raft/configurations.ts",
      from: "    while (this.#stack[this.#stack.length - 1]!.index >= from) this.#stack.pop();",
      to: `    while (this.#stack[this.#stack.length - 1]!.index > from + 1) this.#stack.pop();
    if (this.#stack[this.#stack.length - 1]!.index >= from)
      this.#stack.splice(-1, 1, { index: from - 1, configuration: this.latest });`,
    },
  ],
  kinds: ["join", "remove", "isolate", "echo"],
  runsMax: 300,
};
