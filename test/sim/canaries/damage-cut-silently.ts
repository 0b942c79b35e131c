import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault:
    "A damaged group in the middle of the log is cut off with all that follows it, as if it were a torn write.",
  edits: [
    {
      file: "src/raftlog/recovery.ts",
      from: "  for (let at = 0; at < segments.length; at++) scan.segment(segments[at]!, segments[at + 1]);",
      to: `  for (const [at, segment] of segments.entries()) {
    if (scan.isCut) break;
    scan.segment(segment, segments[at + 1]);
  }`,
    },
    {
      file: "src/raftlog/recovery.ts",
      from: `  last: LastGroup | undefined;
  readonly #disk: Disk;`,
      to: `  last: LastGroup | undefined;
  isCut = false;
  readonly #disk: Disk;`,
    },
    {
      file: "src/raftlog/recovery.ts",
      from: `    const offset = reader.offset;
    if (next !== undefined)
      throw`,
      to: `    const offset = reader.offset;
    this.isCut = true;
    if (this.last !== undefined) return;
    if (next !== undefined)
      throw`,
    },
  ],
  kinds: ["bit-rot"],
  isStatic: true,
  firstSeed: 180,
  runsMax: 200,
};
