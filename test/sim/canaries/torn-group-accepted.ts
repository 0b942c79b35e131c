import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A group of the Raft log is believed without its checksum.",
  edits: [
    {
      file: "src/raftlog/group-reader.ts",
      from: "    if (payloadCrc(this.payload, this.#seed) !== header.payloadCrc) {",
      to: "    if (payloadCrc(this.payload, this.#seed) === -1) {",
    },
  ],
  kinds: ["power-cut-at", "power-cut"],
  isStatic: true,
  firstSeed: 430,
  runsMax: 200,
};
