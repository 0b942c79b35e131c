/** A run may hold several versions of a key (merges can keep them): a cursor stands on each key once, on the newest. */
import { expect, test } from "bun:test";
import type { Row } from "../../src/env/tables.ts";
import { encodeRecord, tombstoneRecord } from "../../src/leveldb/record.ts";
import { Run } from "../../src/leveldb/run.ts";
import { RunCursor } from "../../src/leveldb/run-cursor.ts";
import { type Bytes, fromUtf8, toUtf8 } from "../../src/lib/bytes.ts";
import { buildRun } from "../env/build-run.ts";
import { MemoryDisk } from "./memory-disk.ts";
import { MemoryTables } from "./memory-tables.ts";
import { eachSeed } from "./seed.ts";

function row(key: string, sequence: number, isTombstone: boolean): Row {
  const value = toUtf8(`${key}@${sequence}`);
  const life = { isTombstone, isComplete: true, created: 1, count: 1, lease: 0, expiry: 0 };
  return {
    key: toUtf8(key),
    sequence,
    record: isTombstone ? tombstoneRecord : encodeRecord({ ...life, value }),
  };
}

function runOf(rows: readonly Row[], rowBytes: number): Run {
  const disk = new MemoryDisk();
  disk.createFolder("store");
  const tables = new MemoryTables(disk);
  buildRun(tables, "store/000001.run", rows);
  const [first, last] = [rows[0]!, rows[rows.length - 1]!];
  const file = {
    number: 1,
    rows: rows.length,
    bytes: rows.length * rowBytes,
    smallest: first.key,
    largest: last.key,
    sequenceMin: 1,
    sequenceMax: 9,
  };
  return new Run({ disk, tables }, "store", file, () => {});
}

function show(cursor: RunCursor): string | undefined {
  if (!cursor.isValid) return undefined;
  const key = fromUtf8(cursor.key);
  return cursor.isTombstone() ? `${key} deleted` : fromUtf8(cursor.value());
}

test("every key once, in its newest version, in any direction, whatever the pages are", () => {
  eachSeed(40, (prng, seed) => {
    const rows: Row[] = [];
    const expected: string[] = [];
    const names = Array.from({ length: prng.int(1, 40) }, (_, place) => String(100 + place));
    for (const name of names) {
      const newest = prng.int(1, 9);
      const isDeleted = prng.chance(1, 4);
      expected.push(isDeleted ? `${name} deleted` : `${name}@${newest}`);
      rows.push(row(name, newest, isDeleted));
      for (let older = newest - 1; older >= 1; older--)
        if (prng.chance(1, 2)) rows.push(row(name, older, prng.chance(1, 4)));
    }
    // Large rows make small pages, down to one row.
    const cursor = new RunCursor(runOf(rows, prng.pick([10, 60_000, 300_000])));
    let place = -1;
    for (let step = 0; step < 150; step++) {
      const target = String(prng.int(98, 142));
      const choice = cursor.isValid ? prng.int(0, 14) : prng.int(0, 4);
      place = move(cursor, choice, toUtf8(target), place, names);
      expect(show(cursor), `SEED=${seed} step ${step}`).toBe(expected[place]);
    }
  });
});

/** Moves the cursor, and returns where it should be then. */
function move(
  cursor: RunCursor,
  choice: number,
  target: Bytes,
  place: number,
  names: readonly string[],
): number {
  const text = fromUtf8(target);
  switch (choice) {
    case 0:
      cursor.seekToFirst();
      return 0;
    case 1:
      cursor.seekToLast();
      return names.length - 1;
    case 2:
      cursor.seek(target);
      return names.findIndex((name) => name >= text);
    case 3:
      cursor.seekAfter(target);
      return names.findIndex((name) => name > text);
    case 4:
      cursor.seekBefore(target);
      return names.findLastIndex((name) => name < text);
  }
  if (choice < 10) cursor.next();
  else cursor.prev();
  return choice < 10 ? place + 1 : place - 1;
}
