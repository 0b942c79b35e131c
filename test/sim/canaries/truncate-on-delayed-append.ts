import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A late AppendEntries, all of whose entries are there, cuts off what came after them.",
  edits: [
    {
      file: "src/raft/raft-log.ts",
      from: "    if (first < 0) return [];",
      to: `    if (first < 0) {
      const end = entries.at(-1)?.index ?? this.lastIndex;
      if (end < this.lastIndex && end >= this.#commit) this.#truncate(end + 1);
      return [];
    }`,
    },
  ],
  runsMax: 100,
};
