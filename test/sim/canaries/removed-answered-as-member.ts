import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A node that was removed is answered as if it were a member, and is not told.",
  edits: [
    {
      file: "src/server/kv-server.ts",
      from: `    if (this.#node.isRemoved(hello.nodeId))
`,
      to: `    if (hello.nodeId === "")
`,
    },
    {
      file: "src/server/node.ts",
      from: "    return nodeId !== this.identity.nodeId && !this.isRemoved(nodeId);",
      to: "    return nodeId !== this.identity.nodeId;",
    },
  ],
  kinds: ["remove", "replace", "join", "isolate", "kill"],
  runsMax: 200,
};
