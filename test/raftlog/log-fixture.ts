import type { Disk } from "../../src/env/disk.ts";
import type { Prng } from "../../src/env/prng.ts";
import { KvraftError } from "../../src/lib/error.ts";
import type { Entry, EntryKind, HardState, NodeId } from "../../src/raft/types.ts";
import type { LogOptions } from "../../src/raftlog/options.ts";
import { Persister, type SavedState } from "../../src/raftlog/persister.ts";
import type { CrashDisk } from "./crash-disk.ts";

export const folder = "data/raftlog";
export const owner = { clusterId: "00000000000000c1", nodeId: "00000000000000a1" };
export const peer = "00000000000000b2" as NodeId;
const { SEED } = process.env;
export const seedOfRun = Number(SEED ?? 20_260);

/** Small, so that a few kilobytes have segments, fills, several groups a save, and entries that left the memory. */
export const smallOptions: LogOptions = {
  segmentBytesMax: 8192,
  aheadBytes: 2048,
  fillBytes: 512,
  tailBytesMax: 1000,
  groupBytesMax: 1500,
  openSegmentsMax: 2,
};

export interface Opened {
  readonly log: Persister;
  readonly lines: string[];
}

export function openLog(disk: Disk, options: Partial<LogOptions> = smallOptions, at = folder): Opened {
  const lines: string[] = [];
  return { log: Persister.open(disk, at, owner, options, (line) => lines.push(line)), lines };
}

/** Saves and lets the disk finish; throws the error that the save reports. */
export function save(disk: CrashDisk, log: Persister, state: Partial<SavedState>): void {
  let outcome: Error | true | undefined;
  log.saveRaftState({ entries: [], hardState: undefined, ...state }, (error) => {
    outcome = error ?? true;
  });
  disk.run();
  if (outcome instanceof Error) throw outcome;
  if (outcome === undefined) throw new Error("the save never ended");
}

export function entry(index: number, term: number, data: string | Uint8Array = `entry ${index}`): Entry {
  return { index, term, kind: "command", data: typeof data === "string" ? Buffer.from(data) : data };
}

/** Entries [from, to). */
export function entries(from: number, to: number, term: number, bytes = 0): Entry[] {
  const list: Entry[] = [];
  for (let index = from; index < to; index++)
    list.push(entry(index, term, bytes === 0 ? `entry ${index}` : randomLike(index * 31 + term, bytes)));
  return list;
}

export function state(term: number, commit = 0, vote: NodeId | undefined = undefined): HardState {
  return { term, vote, commit };
}

/** Bytes that follow from a number. */
export function randomLike(seed: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let value = seed * 2_654_435_761 + 1;
  for (let at = 0; at < length; at++) {
    value = (Math.imul(value, 1_103_515_245) + 12_345) >>> 0;
    bytes[at] = value >>> 16;
  }
  return bytes;
}

const kinds: readonly EntryKind[] = ["noop", "command", "config"];

export function randomEntry(prng: Prng, index: number, term: number): Entry {
  const length = prng.chance(1, 4) ? 0 : prng.int(0, prng.chance(1, 10) ? 3000 : 120);
  return { index, term, kind: prng.pick(kinds), data: randomLike(prng.u32(), length) };
}

/** All that a log view shows, as plain values to compare. */
export function contentOf(log: Persister): {
  firstIndex: number;
  terms: (number | undefined)[];
  entries: string[];
} {
  const terms: (number | undefined)[] = [];
  for (let index = log.firstIndex - 1; index <= log.lastIndex + 1; index++) terms.push(log.term(index));
  const all = log.slice(log.firstIndex, log.lastIndex + 1, Number.MAX_SAFE_INTEGER);
  return { firstIndex: log.firstIndex, terms, entries: all.map(print) };
}

export function print(one: Entry): string {
  return `${one.index}@${one.term} ${one.kind} ${Buffer.from(one.data).toString("base64")}`;
}

/** The code and message of what `run` throws. */
export function errorOf(run: () => void): { code: string; message: string } | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    if (!(error instanceof KvraftError)) throw error;
    return { code: error.code, message: error.message };
  }
}
