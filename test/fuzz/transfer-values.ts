import type { Prng } from "../../src/env/prng.ts";
import { encodeRecord } from "../../src/leveldb/record.ts";
import { type LiveRow, RowChunkWriter } from "../../src/leveldb/row-chunk.ts";
import { type Bytes, concatBytes, copyBytes, fromHex, toHex } from "../../src/lib/bytes.ts";
import type { SnapshotHead } from "../../src/rpc/snapshot-requests.ts";
import { randomBytes, randomNumber } from "./mutate.ts";

export function randomSnapshotHead(prng: Prng): SnapshotHead {
  const number = () => randomNumber(prng);
  const place = () => Math.min(number(), 2 ** 52);
  return { token: number(), index: place(), term: place(), revision: place(), bytes: number() };
}

export function randomRows(prng: Prng): LiveRow[] {
  const keys = new Set(Array.from({ length: prng.int(0, 6) }, () => toHex(randomBytes(prng, 6))));
  return [...keys].toSorted().map((key) => {
    const sequence = prng.int(1, 1_000_000);
    const created = prng.int(1, sequence);
    const record = encodeRecord({
      isTombstone: false,
      isComplete: true,
      created,
      count: prng.int(1, 9),
      lease: 0,
      expiry: 0,
      value: randomBytes(prng, 40),
    });
    return { key: fromHex(key)!, sequence, record: copyBytes(record) };
  });
}

export function encodeRows(rows: readonly LiveRow[]): Bytes {
  const writer = new RowChunkWriter();
  for (const { key, sequence, record } of rows) {
    const bytes = concatBytes([key, record]);
    writer.add(bytes, 0, key.length, bytes.length, sequence);
  }
  return writer.take(Number.MAX_SAFE_INTEGER);
}
