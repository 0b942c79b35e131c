/** Damaged SQLite files under a whole store: the answer is right, or CORRUPTION that names the file. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BunDisk } from "../../src/env/bun-disk.ts";
import { SqliteTables } from "../../src/env/sqlite-tables.ts";
import { LevelDB } from "../../src/leveldb/level-db.ts";
import { emptyManifest, writeManifest } from "../../src/leveldb/manifest.ts";
import { TableWriter } from "../../src/leveldb/table-writer.ts";
import { equalBytes, fromUtf8, toUtf8 } from "../../src/lib/bytes.ts";
import { KvraftError } from "../../src/lib/error.ts";
import { MemoryWorkers } from "./memory-workers.ts";
import { addRow, put } from "./rows.ts";

const root = mkdtempSync(join(tmpdir(), "kvraft-damage-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const files = { disk: new BunDisk(), tables: new SqliteTables() };
const env = { ...files, workers: new MemoryWorkers(files) };
const folder = join(root, "store");
const kept = join(root, "kept");
const run = join(folder, "000001.run");
const keyCount = 2000;
const damaged = `run "${run}": the file is damaged (`;

function keyOf(place: number): Uint8Array {
  return toUtf8(String(place).padStart(6, "0"));
}

function valueAt(place: number): Uint8Array {
  return new Uint8Array(100).fill(place);
}

/** What happens to who opens the store and uses it. */
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

/** A store of one run of many blocks, and a copy of it. */
beforeAll(() => {
  const store = LevelDB.open(env, folder, { createIfMissing: true });
  for (let place = 0; place < keyCount; place++) store.put(keyOf(place), valueAt(place));
  store.flush({ index: 1, term: 1 });
  store.close();
  files.disk.createFolder(kept);
  for (const name of readdirSync(folder)) copyFileSync(join(folder, name), join(kept, name));
});

beforeEach(() => {
  for (const name of readdirSync(kept)) copyFileSync(join(kept, name), join(folder, name));
});

/** Reads everything: what comes must be right. Returns how much came. */
function readAll(store: LevelDB, where: string): number {
  const iterator = store.newIterator();
  let count = 0;
  for (iterator.seekToFirst(); iterator.valid(); iterator.next()) {
    const place = Number(fromUtf8(iterator.key()));
    if (place !== count || !equalBytes(iterator.value(), valueAt(place)))
      throw new Error(`${where} shows at the key ${place}, the ${count}th`);
    count++;
  }
  return count;
}

/** The blocks of the run, and a way to put others into a file of the same kind. */
function blocksOf(path: string): Uint8Array[] {
  const table = files.tables.open(path);
  const blocks: Uint8Array[] = [];
  for (;;) {
    try {
      blocks.push(table.block(blocks.length));
    } catch {
      table.close();
      return blocks;
    }
  }
}

function writeBlocks(path: string, blocks: readonly Uint8Array[]): void {
  const size = readFileSync(path).length;
  const builder = files.tables.begin(path);
  for (const block of blocks) builder.add(block);
  builder.finish();
  expect(readFileSync(path).length).toBe(size);
}

const uses: [string, (store: LevelDB) => unknown][] = [
  ["get", (store) => store.get(keyOf(5))],
  ["getRecord", (store) => store.getRecord(keyOf(5))],
  ["seekToFirst", (store) => store.newIterator().seekToFirst()],
  ["seekToLast", (store) => store.newIterator().seekToLast()],
];

describe("a run that is damaged", () => {
  test("garbage of the same length is CORRUPTION that names the file, whatever is asked", () => {
    writeFileSync(run, new Uint8Array(readFileSync(run).length).fill(0x61));
    for (const [name, use] of uses) {
      const failure = failureOf(use);
      expect(failure?.code, name).toBe("CORRUPTION");
      expect(failure?.message, name).toContain(damaged);
    }
  });

  test("zeros behind the first page are CORRUPTION that names the file, whatever is asked", () => {
    const bytes = readFileSync(run);
    bytes.fill(0, 4096);
    writeFileSync(run, bytes);
    for (const [name, use] of uses) {
      const failure = failureOf(use);
      expect(failure?.code, name).toBe("CORRUPTION");
      expect(failure?.message, name).toContain(damaged);
    }
  });

  test("a file cut anywhere is CORRUPTION that names it", () => {
    const whole = readFileSync(run);
    for (const length of [0, 1, 100, 4096, whole.length - 4096, whole.length - 1]) {
      writeFileSync(run, whole.subarray(0, length));
      const failure = failureOf(() => {});
      expect(failure?.code, `${length} bytes`).toBe("CORRUPTION");
      expect(failure?.message).toContain(run);
    }
  });

  test("a damaged byte anywhere is an error that names the file, or nothing is missing from what is read", () => {
    const whole = readFileSync(run);
    let errors = 0;
    for (let offset = 0; offset < whole.length; offset += 2503) {
      const bytes = Buffer.from(whole);
      bytes[offset] = bytes[offset]! ^ 0xff;
      writeFileSync(run, bytes);
      const failure = failureOf((store) => {
        expect(readAll(store, `byte ${offset}`)).toBe(keyCount);
        expect(store.get(keyOf(7))).toEqual(valueAt(7));
        expect(store.get(toUtf8("000007x"))).toBeUndefined();
      });
      if (failure === undefined) continue;
      errors++;
      expect(failure.code, `byte ${offset}`).toBe("CORRUPTION");
      expect(failure.message, `byte ${offset}`).toContain(run);
    }
    expect(errors).toBeGreaterThan(40);
  });

  test("a flipped bit inside a value is CORRUPTION that names the file and, where one was asked for, the key", () => {
    const bytes = readFileSync(run);
    const place = bytes.lastIndexOf(new Uint8Array([...keyOf(5), 1])) + 60;
    expect(place).toBeGreaterThan(4096);
    bytes[place] = bytes[place]! ^ 0x10;
    writeFileSync(run, bytes);
    const expected = `Cannot read run "${run}": the file is damaged (the checksum of block 0 does not match)`;
    for (const use of [
      (store: LevelDB) => store.get(keyOf(5)),
      (store: LevelDB) => store.getRecord(keyOf(5)),
      (store: LevelDB) => store.get(keyOf(6)),
    ]) {
      const failure = failureOf(use);
      expect(failure?.code).toBe("CORRUPTION");
      expect(failure?.message).toMatch(/^Cannot read the key "00000[56]": Cannot read run "/);
      expect(failure?.message).toContain(expected);
    }
    const scan = failureOf((store) => store.newIterator().seek(keyOf(5)));
    expect([scan?.code, scan?.message.startsWith(expected)]).toEqual(["CORRUPTION", true]);
    expect(failureOf((store) => expect(store.get(keyOf(1000))).toEqual(valueAt(1000)))).toBeUndefined();
  });

  test("blocks that have changed places, or that another run has lent, are CORRUPTION, never other rows", () => {
    const blocks = blocksOf(run);
    const stranger = join(root, "stranger");
    const store = LevelDB.open(env, stranger, { createIfMissing: true });
    store.flush({ index: 1, term: 1 });
    store.put(keyOf(0), valueAt(99));
    store.flush({ index: 2, term: 1 });
    for (let place = 0; place < keyCount; place++) store.put(keyOf(place), valueAt(place + 1));
    store.flush({ index: 3, term: 1 });
    store.close();
    const name = readdirSync(stranger)
      .sort()
      .findLast((other) => other.endsWith(".run") && other !== "000001.run")!;
    const lent = blocksOf(join(stranger, name));
    expect(lent.length).toBe(blocks.length);
    const data = blocks.length - 3;
    for (const changed of [
      blocks.with(0, blocks[1]!).with(1, blocks[0]!),
      blocks.with(4, lent[4]!),
      blocks.with(data, lent[data]!),
      blocks.with(data + 1, lent[data + 1]!),
      blocks.with(data + 2, lent[data + 2]!),
    ]) {
      writeBlocks(run, changed);
      const failure = failureOf((store) => {
        expect(store.get(keyOf(7))).toEqual(valueAt(7));
        readAll(store, "a block");
      });
      expect(failure?.code).toBe("CORRUPTION");
      expect(failure?.message).toContain(damaged);
    }
    writeBlocks(run, blocks);
    expect(failureOf((store) => expect(readAll(store, "nothing")).toBe(keyCount))).toBeUndefined();
  });

  test("a run with another file in its place, of the same number and size, is CORRUPTION, not an older value", () => {
    const other = join(root, "twin");
    const store = LevelDB.open(env, other, { createIfMissing: true });
    for (let place = 0; place < keyCount; place++) store.put(keyOf(place), valueAt(place + 1));
    store.flush({ index: 1, term: 1 });
    store.close();
    copyFileSync(join(other, "000001.run"), run);
    expect(failureOf(() => {})?.message).toContain(`${damaged}it is not the one that MANIFEST names)`);
  });

  test("a run with the file of another run in its place, of the same size, is CORRUPTION, not an older value", () => {
    const other = join(root, "swapped");
    const store = LevelDB.open(env, other, { createIfMissing: true });
    for (const [index, value] of ["old", "new"].entries()) {
      store.put(keyOf(1), toUtf8(value));
      store.flush({ index: index + 1, term: 1 });
    }
    store.close();
    const [first, second] = [join(other, "000001.run"), join(other, "000003.run")];
    expect(readFileSync(first).length).toBe(readFileSync(second).length);
    copyFileSync(first, second);
    expect(() => LevelDB.open(env, other)).toThrow(`Cannot read run "${second}": the file is damaged (`);
  });

  test("is CORRUPTION for a merge, which then is not tried again, and nothing of what was there is removed", () => {
    const bytes = readFileSync(run);
    const place = bytes.lastIndexOf(new Uint8Array([...keyOf(77), 1])) + 60;
    bytes[place] = bytes[place]! ^ 0x10;
    writeFileSync(run, bytes);
    const failures: KvraftError[] = [];
    const store = LevelDB.open(env, folder, { runsMax: 1, failed: (error) => failures.push(error) });
    store.put(keyOf(1), toUtf8("new"));
    store.flush({ index: 2, term: 1 });
    env.workers.settle();
    expect(failures.map(({ code }) => code)).toEqual(["CORRUPTION"]);
    expect(failures[0]?.message).toContain(damaged);
    expect(() => store.compactRange()).toThrow(failures[0]!);
    expect(store.get(keyOf(1))).toEqual(toUtf8("new"));
    expect(store.get(keyOf(1000))).toEqual(valueAt(1000));
    store.close();
    expect(readFileSync(run)).toEqual(bytes);
    const again = LevelDB.open(env, folder);
    expect(again.applied.index).toBe(2);
    again.close();
  });
});

test("a record that is none, in a file that is whole, is CORRUPTION for those who read it, and harms no other", () => {
  const other = join(root, "other");
  files.disk.createFolder(other);
  const path = join(other, "000001.run");
  const writer = new TableWriter(1, files.tables.begin(path));
  for (let place = 0; place < 30; place++) {
    const row = put(fromUtf8(keyOf(place)), 1);
    addRow(writer, place === 5 ? { ...row, record: toUtf8("no record") } : row);
  }
  const { sample, ...file } = writer.finish();
  const whole = { ...file, bytes: readFileSync(path).length };
  const runs = [{ id: 2, parts: [{ file: whole, from: undefined }] }];
  writeManifest(files.disk, other, { ...emptyManifest, nextNumber: 3, sequence: 1, runs });
  const store = LevelDB.open(env, other);
  const expected = `Cannot read run "${path}": the file is damaged (record format 110 is unknown)`;
  expect(() => store.get(keyOf(5))).toThrow(expected);
  expect(() => store.getRecord(keyOf(5))).toThrow(expected);
  expect(() => store.newIterator().seek(keyOf(5))).toThrow(expected);
  expect(store.get(keyOf(20))).toEqual(toUtf8("000020@1"));
  store.close();
});
