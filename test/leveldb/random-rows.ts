import type { Prng } from "../../src/env/prng.ts";
import { tombstoneRecord } from "../../src/leveldb/record.ts";
import { type Bytes, toHex } from "../../src/lib/bytes.ts";
import { randomKey } from "./random-keys.ts";
import { compareRows, putBytes, type Row } from "./rows.ts";

/**
 * Rows of a run, in order: keys with one version, and some with so many that they fill several blocks; tombstones,
 * small values, and some that are larger than a page.
 */
export function randomRows(prng: Prng, keyCount: number): { rows: Row[]; keys: Bytes[]; strangers: Bytes[] } {
  const byName = new Map<string, Bytes>();
  const strangers: Bytes[] = [];
  for (let count = 0; count < keyCount; count++) {
    const key = randomKey(prng);
    byName.set(toHex(key), key);
  }
  for (let count = 0; count < 20; count++) {
    const key = randomKey(prng);
    if (!byName.has(toHex(key))) strangers.push(key);
  }
  const keys = [...byName.values()];
  const rows: Row[] = [];
  for (const key of keys) {
    const versions = prng.pick([1, 1, 1, 1, 2, 5, 50]);
    let sequence = prng.int(0, 9);
    for (let version = 0; version < versions; version++) {
      sequence += prng.int(1, 3);
      if (prng.chance(1, 4)) rows.push({ key, sequence, record: tombstoneRecord });
      else rows.push(putBytes(key, sequence, { value: randomValue(prng) }));
    }
  }
  return { rows: rows.sort(compareRows), keys, strangers };
}

function randomValue(prng: Prng): Bytes {
  const length = prng.chance(1, 100) ? prng.int(4000, 20_000) : prng.pick([0, 1, 30, 300]);
  return new Uint8Array(length).fill(prng.int(0, 255));
}
