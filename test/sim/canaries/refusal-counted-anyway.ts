import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "What a process says whose folder went back in time counts, though it is refused.",
  edits: [
    {
      file: "src/server/admission.ts",
      from: "    return this.#nodes.get(nodeId)?.admitted?.boot.id === bootId;",
      to: "    return bootId.length > 0 && nodeId.length > 0;",
    },
    {
      file: "src/server/admission.ts",
      from: "    return refused?.bootId === bootId ? refused.text : undefined;",
      to: '    return refused?.bootId === "" ? refused.text : undefined;',
    },
    {
      file: "src/server/admission.ts",
      from: "    this.#options.refused(nodeId, boot.id, text);",
      to: "",
    },
  ],
  kinds: ["set-back"],
  isStatic: true,
  runsMax: 20,
};
