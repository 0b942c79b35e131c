import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A finished write counts for entries that were replaced while it was under way.",
  edits: [
    {
      file: "src/raft/raft-log.ts",
      from: "if (entry.index !== this.#durable + 1 || !this.has(entry)) break;",
      to: "if (entry.index !== this.#durable + 1 || entry.index > this.lastIndex) break;",
    },
  ],
  kinds: ["disk-slow", "isolate", "disk-hang"],
  runsMax: 400,
};
