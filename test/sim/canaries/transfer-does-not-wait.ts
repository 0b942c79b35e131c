import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A leader hands over to a node that has not got its whole log.",
  edits: [
    {
      file: "src/raft/leader.ts",
      from: `    if (this.#progress.get(this.#transfer.to)?.match !== this.#options.log.lastIndex) return;
`,
      to: "",
    },
  ],
  kinds: ["transfer", "kill", "isolate"],
  runsMax: 50,
};
