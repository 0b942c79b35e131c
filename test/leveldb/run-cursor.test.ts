/** A cursor over a run, whatever its files and blocks: on each key once, in the newest version that may be seen. */
import { expect, test } from "bun:test";
import type { Prng } from "../../src/env/prng.ts";
import { hashKey } from "../../src/leveldb/key-hash.ts";
import { tombstoneRecord, valueOfRecord } from "../../src/leveldb/record.ts";
import { RunSource } from "../../src/leveldb/row-source.ts";
import type { Run } from "../../src/leveldb/run.ts";
import { RunCursor } from "../../src/leveldb/run-cursor.ts";
import { type Bytes, compareBytes, equalBytes, toHex } from "../../src/lib/bytes.ts";
import { moveCursor } from "./cursor-walk.ts";
import { randomKey } from "./random-keys.ts";
import { randomRows } from "./random-rows.ts";
import { type Row, RunFiles } from "./rows.ts";
import { eachSeed } from "./seed.ts";

/** A run of some files, some of them cut, and the rows that belong to it. */
function randomRun(prng: Prng, files: RunFiles): { run: Run; rows: Row[]; keys: Bytes[] } {
  const { rows, keys } = randomRows(prng, prng.pick([1, 5, 60, 250]));
  const sorted = keys.sort(compareBytes);
  const parts: { rows: Row[]; from: Bytes | undefined }[] = [];
  for (let at = 0; at < sorted.length; ) {
    const count = prng.int(1, Math.max(1, sorted.length - at));
    const [first, last] = [sorted[at]!, sorted[at + count - 1]!];
    const own = rows.filter(({ key }) => compareBytes(key, first) >= 0 && compareBytes(key, last) <= 0);
    // Where a merge has stopped: at a key of the file, or between two.
    let from = prng.chance(1, 3) ? prng.pick(sorted.slice(at, at + count)) : undefined;
    if (from !== undefined && prng.chance(1, 3) && !equalBytes(from, last))
      from = new Uint8Array([...from, 0]);
    parts.push({ rows: own, from });
    at += count;
  }
  const kept = parts.flatMap(({ rows: own, from }) =>
    own.filter(({ key }) => from === undefined || compareBytes(key, from) >= 0),
  );
  return { run: files.run(parts), rows: kept, keys: sorted };
}

/** The newest row of each key at or below a sequence number. */
function visibleRows(rows: readonly Row[], sequence: number): Row[] {
  const visible: Row[] = [];
  for (const row of rows) {
    const last = visible.at(-1);
    if (row.sequence <= sequence && (last === undefined || !equalBytes(last.key, row.key))) visible.push(row);
  }
  return visible;
}

test("every key once, in the version of its sequence number, in any direction, whatever files and blocks are", () => {
  eachSeed(50, (prng, seed) => {
    const { run, rows, keys } = randomRun(prng, new RunFiles());
    const sequence = prng.pick([Infinity, Infinity, prng.int(0, 40)]);
    const visible = visibleRows(rows, sequence);
    const cursor = new RunCursor(run, sequence);
    let place = -1;
    for (let step = 0; step < 120; step++) {
      const target = prng.chance(1, 2) ? prng.pick(keys) : randomKey(prng);
      const choice = cursor.isValid ? prng.int(0, 14) : prng.int(0, 4);
      place = moveCursor(cursor, choice, target, place, visible);
      const where = `SEED=${seed} step ${step}, choice ${choice}, ${toHex(target)}`;
      const expected = visible[place];
      expect(cursor.isValid, where).toBe(expected !== undefined);
      if (expected === undefined) continue;
      expect(toHex(cursor.key), where).toBe(toHex(expected.key));
      expect(cursor.isTombstone(), where).toBe(equalBytes(expected.record, tombstoneRecord));
      if (!cursor.isTombstone())
        expect(equalBytes(cursor.value(), valueOfRecord(expected.record)!), where).toBe(true);
    }
  });
});

test("from one end to the other, both ways, are all keys", () => {
  eachSeed(20, (prng) => {
    const { run, rows } = randomRun(prng, new RunFiles());
    const names = visibleRows(rows, Infinity).map(({ key }) => toHex(key));
    const cursor = new RunCursor(run, Infinity);
    const forward: string[] = [];
    for (cursor.seekToFirst(); cursor.isValid; cursor.next()) forward.push(toHex(cursor.key));
    expect(forward).toEqual(names);
    const backward: string[] = [];
    for (cursor.seekToLast(); cursor.isValid; cursor.prev()) backward.push(toHex(cursor.key));
    expect(backward).toEqual(names.toReversed());
  });
});

test("points of a run of several files find what belongs to it, and nothing that a merge has moved away", () => {
  eachSeed(40, (prng, seed) => {
    const { run, rows, keys } = randomRun(prng, new RunFiles());
    for (const key of [...keys, ...Array.from({ length: 20 }, () => randomKey(prng))]) {
      const sequence = prng.pick([Infinity, prng.int(0, 40)]);
      const expected = rows.find((row) => equalBytes(row.key, key) && row.sequence <= sequence);
      const found = run.get(key, hashKey(key), sequence);
      expect(found?.sequence, `SEED=${seed} ${toHex(key)}`).toBe(expected?.sequence);
      expect(found?.record, `SEED=${seed} ${toHex(key)}`).toEqual(expected?.record);
    }
  });
});

test("a merge reads the same rows, all versions of them, and has one file open at a time", () => {
  eachSeed(40, (prng) => {
    const files = new RunFiles();
    const { run, rows } = randomRun(prng, files);
    const parts = run.parts.map(({ table, from }) => ({ file: table.file, from }));
    const openBefore = files.tables.openCount;
    const source = new RunSource(parts, (file) => files.open(file));
    const found: string[] = [];
    for (; source.isValid; source.advance()) {
      const { bytes, keyStart, keyEnd, recordEnd, sequence } = source;
      const [key, record] = [bytes.subarray(keyStart, keyEnd), bytes.subarray(keyEnd, recordEnd)];
      found.push(`${toHex(key)} ${sequence} ${toHex(record)}`);
      expect(files.tables.openCount).toBe(openBefore + 1);
    }
    expect(found).toEqual(
      rows.map(({ key, sequence, record }) => `${toHex(key)} ${sequence} ${toHex(record)}`),
    );
    expect(files.tables.openCount).toBe(openBefore);
  });
});
