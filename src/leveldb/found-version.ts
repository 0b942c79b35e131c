import type { Bytes } from "../lib/bytes.ts";
import { hashKey } from "./key-hash.ts";
import type { Memtable } from "./memtable.ts";
import { valueOfRecord } from "./record.ts";
import type { Run } from "./run.ts";

/** A version of a key, from whatever layer. */
export interface FoundVersion {
  readonly sequence: number;
  readonly record: Bytes;
}

export function valueIn(version: FoundVersion | undefined): Bytes | undefined {
  return version === undefined ? undefined : valueOfRecord(version.record);
}

export function versionIn(
  memtable: Memtable,
  key: Bytes,
  stamp?: number,
  sequence?: number,
): FoundVersion | undefined {
  const address = memtable.find(key, stamp, sequence);
  if (address === -1) return undefined;
  return { sequence: memtable.memory.sequence(address), record: memtable.record(address) };
}

/** In each run, newest run first. */
export function* versionsIn(
  runs: readonly Run[],
  key: Bytes,
  sequence: number,
): IterableIterator<FoundVersion> {
  const hash = hashKey(key);
  for (const run of runs) {
    const version = run.get(key, hash, sequence);
    if (version !== undefined) yield version;
  }
}
