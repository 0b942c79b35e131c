/** Damaged SQLite files under a whole store: the answer is right, or CORRUPTION that names the file. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BunDisk } from "../../src/env/bun-disk.ts";
import { SqliteTables } from "../../src/env/sqlite-tables.ts";
import { LevelDB } from "../../src/leveldb/level-db.ts";
import { encodeRecord } from "../../src/leveldb/record.ts";
import { equalBytes, fromUtf8, toUtf8 } from "../../src/lib/bytes.ts";
import { KvraftError } from "../../src/lib/error.ts";
import { buildRun } from "../env/build-run.ts";

const root = mkdtempSync(join(tmpdir(), "kvraft-damage-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const env = { disk: new BunDisk(), tables: new SqliteTables() };
const folder = join(root, "store");
const run = join(folder, "000001.run");
const keyCount = 2000;

/** What the key of each number holds, modulo 256. */
const values = Array.from({ length: 256 }, (_, byte) => new Uint8Array(100).fill(byte));

function keyOf(place: number): Uint8Array {
  return toUtf8(String(place).padStart(6, "0"));
}

function failureOf(use: (store: LevelDB) => unknown): KvraftError | undefined {
  try {
    const store = LevelDB.open(env, folder);
    try {
      use(store);
    } finally {
      store.close();
    }
  } catch (error) {
    if (error instanceof KvraftError) return error;
    throw error;
  }
  return undefined;
}

beforeAll(() => {
  const store = LevelDB.open(env, folder, { createIfMissing: true });
  for (let place = 0; place < keyCount; place++) store.put(keyOf(place), new Uint8Array(100).fill(place));
  store.flush({ index: 1, term: 1 });
  store.close();
});

const uses: [string, (store: LevelDB) => unknown][] = [
  ["get", (store) => store.get(keyOf(5))],
  ["getRecord", (store) => store.getRecord(keyOf(5))],
  ["seekToFirst", (store) => store.newIterator().seekToFirst()],
  ["seekToLast", (store) => store.newIterator().seekToLast()],
];

describe("a run that is damaged", () => {
  test("garbage of the same length is CORRUPTION that names the file, whatever is asked", () => {
    const whole = readFileSync(run);
    writeFileSync(run, new Uint8Array(whole.length).fill(0x61));
    for (const [name, use] of uses) {
      const failure = failureOf(use);
      expect(failure?.code, name).toBe("CORRUPTION");
      expect(failure?.message, name).toContain(`run "${run}": the file is damaged (`);
    }
    writeFileSync(run, whole);
  });

  test("zeros behind the first page are CORRUPTION that names the file when they are read", () => {
    const whole = readFileSync(run);
    const bytes = Buffer.from(whole);
    bytes.fill(0, 4096);
    writeFileSync(run, bytes);
    for (const [name, use] of uses) {
      const failure = failureOf(use);
      expect(failure?.code, name).toBe("CORRUPTION");
      expect(failure?.message, name).toContain(run);
    }
    writeFileSync(run, whole);
  });

  test("a run cut to any length is CORRUPTION at open", () => {
    const whole = readFileSync(run);
    for (const length of [0, 1, 100, 4096, whole.length - 4096, whole.length - 1]) {
      writeFileSync(run, whole.subarray(0, length));
      const failure = failureOf(() => {});
      expect(failure?.code, `${length} bytes`).toBe("CORRUPTION");
      expect(failure?.message).toContain(run);
    }
    writeFileSync(run, whole);
  });

  test("a damaged byte anywhere is an error that names the file, or does no harm to what is read", () => {
    const whole = readFileSync(run);
    let errors = 0;
    for (let offset = 0; offset < whole.length; offset += 5003) {
      const bytes = Buffer.from(whole);
      bytes[offset] = bytes[offset]! ^ 0xff;
      writeFileSync(run, bytes);
      const failure = failureOf((store) => {
        const iterator = store.newIterator();
        let count = 0;
        for (iterator.seekToFirst(); iterator.valid(); iterator.next())
          if (equalBytes(iterator.value(), values[Number(fromUtf8(iterator.key())) & 0xff]!)) count++;
          else throw new Error(`byte ${offset} shows in the value of ${fromUtf8(iterator.key())}`);
        expect(count).toBeLessThanOrEqual(keyCount);
        store.getRecord(keyOf(7));
      });
      if (failure !== undefined) {
        errors++;
        expect(failure.message, `byte ${offset}`).toContain(run);
      }
    }
    expect(errors).toBeGreaterThan(0);
    writeFileSync(run, whole);
  });

  test("a flipped bit inside a value is CORRUPTION that names the file, never a wrong value", () => {
    const whole = readFileSync(run);
    const bytes = Buffer.from(whole);
    const value = new Uint8Array(100).fill(5);
    const place = bytes.indexOf(value) + 50;
    expect(place).toBeGreaterThan(4096);
    bytes[place] = bytes[place]! ^ 0x10;
    writeFileSync(run, bytes);
    for (const use of [
      (store: LevelDB) => store.get(keyOf(5)),
      (store: LevelDB) => store.getRecord(keyOf(5)),
      (store: LevelDB) => store.newIterator().seek(keyOf(5)),
    ]) {
      const failure = failureOf(use);
      expect(failure?.code).toBe("CORRUPTION");
      expect(failure?.message).toContain(run);
    }
    writeFileSync(run, whole);
    expect(failureOf((store) => expect(store.get(keyOf(5))).toEqual(value))).toBeUndefined();
  });

  test("a run that has lost rows is CORRUPTION for a merge, not a store with fewer keys", () => {
    const other = join(root, "fewer");
    const path = join(other, "000001.run");
    const store = LevelDB.open(env, other, { createIfMissing: true, runsMax: 1 });
    for (let place = 0; place < 30; place++) store.put(keyOf(place), toUtf8("v"));
    store.flush({ index: 1, term: 1 });
    store.close();
    const table = env.tables.open(path);
    const rows = table.forward(undefined, 100);
    table.close();
    buildRun(env.tables, path, rows.toSpliced(10, 1));
    const again = LevelDB.open(env, other, { runsMax: 1 });
    again.put(keyOf(99), toUtf8("v"));
    expect(() => again.flush({ index: 2, term: 1 })).toThrow(
      `Cannot read run "${path}": the file is damaged (it has 29 rows, MANIFEST names 30)`,
    );
    again.close();
  });

  test("a run with another run's file in its place, of the same size, is CORRUPTION, not an older value", () => {
    const other = join(root, "swapped");
    const store = LevelDB.open(env, other, { createIfMissing: true });
    for (const [index, value] of ["old", "new"].entries()) {
      store.put(keyOf(1), toUtf8(value));
      store.flush({ index: index + 1, term: 1 });
    }
    store.close();
    const [first, second] = [join(other, "000001.run"), join(other, "000002.run")];
    const content = readFileSync(first);
    expect(content.length).toBe(readFileSync(second).length);
    writeFileSync(second, content);
    expect(() => LevelDB.open(env, other)).toThrow(
      `Cannot read run "${second}": the file is damaged (its first and last row are not the ones that MANIFEST names)`,
    );
  });

  test("a record that is none is CORRUPTION for those who read it, and harms no other", () => {
    const other = join(root, "other");
    const record = encodeRecord({
      isTombstone: false,
      isComplete: true,
      created: 1,
      count: 1,
      lease: 0,
      expiry: 0,
      value: toUtf8("v"),
    });
    const first = LevelDB.open(env, other, { createIfMissing: true });
    for (let place = 0; place < 30; place++) first.put(keyOf(place), toUtf8("v"));
    first.flush({ index: 1, term: 1 });
    first.close();
    const path = join(other, "000001.run");
    const rows = Array.from({ length: 30 }, (_, place) => ({ key: keyOf(place), sequence: 1, record }));
    rows[5]!.record = toUtf8("no record");
    buildRun(env.tables, path, rows);
    const store = LevelDB.open(env, other);
    const expected = `Cannot read run "${path}": the file is damaged (record format 110 is unknown)`;
    expect(() => store.get(keyOf(5))).toThrow(expected);
    expect(() => store.getRecord(keyOf(5))).toThrow(expected);
    expect(() => store.newIterator().seek(keyOf(5))).toThrow(expected);
    expect(store.get(keyOf(20))).toEqual(toUtf8("v"));
    store.close();
  });
});
