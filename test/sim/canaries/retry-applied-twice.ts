import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "The session table does not know what it has applied: a retry is applied again.",
  edits: [
    {
      file: "src/kv/session-table.ts",
      from: '    return result === undefined ? ended : { kind: "duplicate", result };',
      to: "    return result === undefined ? ended : apply;",
    },
    {
      file: "src/kv/session-table.ts",
      from: `    assert(stamp.sequence === session.last + 1, "a session applies its commands in order");
`,
      to: `    if (stamp.sequence !== session.last + 1) return;
`,
    },
  ],
  runsMax: 200,
};
