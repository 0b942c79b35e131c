import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A state that is sent to another node lacks the sessions: a retry is applied again there.",
  edits: [
    {
      file: "src/server/snapshot-requests.ts",
      from: "const scan = store.scanDurable({ limit: localPrefix });",
      to: "const scan = store.scanDurable({ limit: new Uint8Array([0x73]) });",
    },
  ],
  runsMax: 50,
};
