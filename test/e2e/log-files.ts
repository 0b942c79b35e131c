import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Where a group stands in its segment: format in src/raftlog/group.ts, read here by other code on purpose. */
export interface Group {
  readonly number: number;
  readonly offset: number;
  readonly payloadBytes: number;
}

export interface Segment {
  readonly path: string;
  readonly name: string;
  readonly firstGroup: number;
  readonly afterGroup: number;
  /** Only those that count: a later segment may follow an earlier group than the last one here. */
  readonly groups: readonly Group[];
}

const headerBytes = 4096;
export const groupHeaderBytes = 32;
const groupMagic = 0x72676bd7;

/** The segments of a node's log that count, in order. */
export function readSegments(dataDir: string): Segment[] {
  const folder = join(dataDir, "log");
  const all = readdirSync(folder)
    .filter((name) => name.endsWith(".log"))
    .map((name) => readSegment(join(folder, name), name))
    .sort((a, b) => a.firstGroup - b.firstGroup);
  const chain: Segment[] = [];
  let lastGroup = Number.POSITIVE_INFINITY;
  for (const segment of all.toReversed()) {
    if (segment.firstGroup > lastGroup) continue;
    chain.unshift({ ...segment, groups: segment.groups.filter(({ number }) => number <= lastGroup) });
    lastGroup = segment.afterGroup;
  }
  return chain;
}

function readSegment(path: string, name: string): Segment {
  const bytes = readFileSync(path);
  const groups: Group[] = [];
  let offset = headerBytes;
  while (offset + groupHeaderBytes <= bytes.length && bytes.readUInt32LE(offset) === groupMagic) {
    const payloadBytes = bytes.readUInt32LE(offset + 16);
    groups.push({ number: Number(bytes.readBigUInt64LE(offset + 8)), offset, payloadBytes });
    offset += groupHeaderBytes + payloadBytes;
  }
  const firstGroup = Number(bytes.readBigUInt64LE(24));
  return { path, name, firstGroup, afterGroup: Number(bytes.readBigUInt64LE(32)), groups };
}
