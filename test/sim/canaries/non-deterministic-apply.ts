import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault:
    "What a command does depends on more than the log: every fiftieth that a process applies does nothing.",
  edits: [
    {
      file: "src/kv/state-machine.ts",
      from: '    if (command.type === "put") {',
      to: `    if (++applications % 50 === 0) return { status: "OK", revision: this.#revision };
    if (command.type === "put") {`,
    },
    {
      file: "src/kv/state-machine.ts",
      from: "function decodeOrStop(",
      to: `let applications = 0;

function decodeOrStop(`,
    },
  ],
  runsMax: 50,
};
