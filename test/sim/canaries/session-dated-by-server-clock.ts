import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "Servers tell clients their own wall clocks, and a refused session is dated by them again.",
  edits: [
    {
      file: "src/server/kv-server.ts",
      from: "this.#node?.leaseMs ?? 0",
      to: "this.#env.clock.wallMs()",
    },
    {
      file: "src/client/write-queue.ts",
      from: "    const told = this.#told;\n",
      to: "    const told = this.#told === undefined ? undefined : undefined;\n",
    },
  ],
  runsMax: 100,
};
