/** A store that does not run, looked at: what is whole is called whole, and everything that is not is told. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BunDisk } from "../../src/env/bun-disk.ts";
import { SqliteTables } from "../../src/env/sqlite-tables.ts";
import { checksumBytes, sealBlock } from "../../src/leveldb/block.ts";
import { type CheckEnv, checkStore, type StoreCheck } from "../../src/leveldb/check-store.ts";
import { runName, runPath } from "../../src/leveldb/folder-names.ts";
import { LevelDB } from "../../src/leveldb/level-db.ts";
import {
  emptyManifest,
  filesOf,
  type Manifest,
  readManifest,
  writeManifest,
} from "../../src/leveldb/manifest.ts";
import { decodeFooter, encodeFooter, metaBlocks } from "../../src/leveldb/table-footer.ts";
import { TableWriter } from "../../src/leveldb/table-writer.ts";
import { concatBytes, fromUtf8, toUtf8 } from "../../src/lib/bytes.ts";
import { crc32 } from "../../src/lib/checksum.ts";
import type { Finding } from "../../src/lib/examination.ts";
import { MemoryDisk } from "./memory-disk.ts";
import { MemoryTables } from "./memory-tables.ts";
import { MemoryWorkers } from "./memory-workers.ts";
import { addRow, put, putBytes } from "./rows.ts";
import { folder, TextStore } from "./text-store.ts";

const root = mkdtempSync(join(tmpdir(), "kvraft-check-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

function check(env: CheckEnv, at = folder): StoreCheck {
  const steps = checkStore(env, at);
  let before = 0;
  for (let step = steps.next(); ; step = steps.next()) {
    if (step.done) return step.value;
    const { done, total } = step.value;
    expect(done).toBeGreaterThanOrEqual(before);
    expect(done).toBeLessThanOrEqual(total);
    before = done;
  }
}

/** Without the long words. */
function brief({ file, block, lastBlock, key, found }: Finding): string {
  const place = [block, lastBlock, key].filter((part) => part !== undefined).join(" ");
  return `${file.slice(file.lastIndexOf("/") + 1)} ${place}: ${found}`;
}

function briefly(env: CheckEnv, at = folder): string[] {
  return check(env, at).findings.map(brief);
}

/** Several runs of several blocks, with deletions, versions and keys of many lengths; closed. */
function filledStore(): TextStore {
  const db = new TextStore({ runsMax: 4, tableBytesMax: 20_000, historySequences: 1000 });
  for (let flush = 0; flush < 3; flush++) {
    for (let at = 0; at < 300; at++)
      db.put(`key ${(at * 7919) % 500} ${"y".repeat(at % 40)}`, "v".repeat(at % 90));
    db.put("twice", "1");
    db.put("twice", "2");
    for (let at = 0; at < 50; at++) db.delete(`key ${at}`);
    db.put("large", "x".repeat(30_000));
    db.flushOnly();
  }
  db.store.close();
  return db;
}

describe("a whole store", () => {
  test("has no findings, and is summed up as MANIFEST has it", () => {
    const db = filledStore();
    const manifest = readManifest(db.disk, folder);
    const files = filesOf(manifest);
    expect(files.length).toBeGreaterThan(3);
    const { findings, leftovers, strangers, store } = check(db);
    expect({ findings, leftovers, strangers }).toEqual({ findings: [], leftovers: [], strangers: [] });
    expect(store).toEqual({
      sequence: manifest.sequence,
      applied: { index: 3, term: 1 },
      logStart: { index: 0, term: 0 },
      runs: 3,
      files: files.length,
      rows: files.reduce((sum, file) => sum + file.rows, 0),
      bytes: files.reduce((sum, file) => sum + file.bytes, 0),
      merges: 0,
    });
    expect(db.tables.openCount).toBe(0);
  });

  test("is whole after each step of its merges, too", () => {
    const db = new TextStore({ runsMax: 2, tableBytesMax: 5000, memtableBytesMax: 20_000 });
    let merging = 0;
    for (let flush = 0; flush < 12; flush++) {
      for (let at = 0; at < 150; at++) db.put(`key ${(at * 31 + flush * 17) % 400}`, "v".repeat(60));
      for (let at = 0; at < 20; at++) db.delete(`key ${at + flush}`);
      db.flushOnly();
      for (let step = 0; step < 40 && db.workers.step(); step++) {
        const { findings, store } = check(db);
        expect(findings.map(brief)).toEqual([]);
        if (store!.merges > 0) merging++;
      }
    }
    expect(merging).toBeGreaterThan(3);
    db.store.close();
  });

  test("that was just made has nothing, and no store is none", () => {
    const db = new TextStore();
    db.store.close();
    expect(check(db)).toMatchObject({
      findings: [],
      store: { files: 0, rows: 0, applied: { index: 0, term: 0 } },
    });
    expect(check(db, "data/none")).toEqual({ findings: [], leftovers: [], strangers: [], store: undefined });
  });

  test("may have leftovers and strangers, which are told and left alone", () => {
    const db = filledStore();
    for (const name of ["000999.run", "MANIFEST.new", "notes.txt"])
      db.disk.open(`${folder}/${name}`, "create");
    const steps = db.disk.steps;
    const { findings, leftovers, strangers } = check(db);
    expect(findings).toEqual([]);
    expect(leftovers).toEqual([`${folder}/000999.run`, `${folder}/MANIFEST.new`]);
    expect(strangers).toEqual([`${folder}/notes.txt`]);
    expect(db.disk.steps).toBe(steps);
  });
});

describe("every flipped bit", () => {
  test("of MANIFEST is a finding", () => {
    const db = filledStore();
    const path = `${folder}/MANIFEST`;
    const whole = db.disk.read(path)!;
    for (let offset = 0; offset < whole.length; offset++) {
      const bytes = whole.slice();
      bytes[offset]! ^= 1 << (offset & 7);
      db.disk.damage(path, bytes);
      const { findings, store } = check(db);
      expect([store, ...findings.map(({ code, file }) => `${code} ${file}`)]).toEqual([
        undefined,
        `CORRUPTION ${path}`,
      ]);
    }
  });

  test("of a file of blocks is a finding that names it", () => {
    const db = new TextStore();
    for (let at = 0; at < 60; at++) db.put(`key ${at}`, "v".repeat(150));
    db.flushOnly();
    db.store.close();
    const path = `${folder}/000001.run`;
    const whole = db.disk.read(path)!;
    const blocks = filesOf(readManifest(db.disk, folder))[0]!.blocks;
    expect(blocks).toBeGreaterThan(metaBlocks + 1);
    for (let offset = 0; offset < whole.length; offset += 3) {
      const bytes = whole.slice();
      bytes[offset]! ^= 1 << (offset & 7);
      db.disk.damage(path, bytes);
      const { findings } = check(db);
      expect(findings.length, `byte ${offset}`).toBeGreaterThan(0);
      for (const { file, code } of findings) expect([file, code]).toEqual([path, "CORRUPTION"]);
    }
  });

  test("of an SQLite file is a finding, or changes nothing that is read", () => {
    const disk = new HastyDisk();
    const tables = new SqliteTables();
    const env = { disk, tables, workers: new MemoryWorkers({ disk, tables }) };
    const at = join(root, "flips");
    const value = "v".repeat(300);
    const content = Array.from({ length: 40 }, (_, place) => `key ${place + 10}=${value}`);
    const store = LevelDB.open(env, at, { createIfMissing: true });
    for (const pair of content) store.put(toUtf8(pair.split("=")[0]!), toUtf8(value));
    store.flush({ index: 1, term: 1 });
    store.close();
    const names = readdirSync(at).sort();
    const path = join(at, "000001.run");
    const whole = readFileSync(path);
    let harmless = 0;
    let found = 0;
    // SQLite's own header byte by byte, the rest with a stride that meets every place of a page in time.
    for (let offset = 0; offset < whole.length; offset += offset < 120 ? 1 : 13) {
      const bytes = Buffer.from(whole);
      bytes[offset]! ^= 1 << (offset & 7);
      writeFileSync(path, bytes);
      if (check(env, at).findings.length > 0) found++;
      else {
        harmless++;
        expect(contentOf(env, at), `byte ${offset}`).toEqual(content);
      }
    }
    writeFileSync(path, whole);
    expect(briefly(env, at)).toEqual([]);
    expect(found).toBeGreaterThan(harmless);
    expect(readdirSync(at).sort()).toEqual(names);
  });
});

/** A disk for tests that need no power cut. */
class HastyDisk extends BunDisk {
  override syncFolder(): void {}
}

function contentOf(env: Parameters<typeof LevelDB.open>[0], at: string): string[] {
  const store = LevelDB.open(env, at);
  try {
    const found: string[] = [];
    const iterator = store.newIterator();
    for (iterator.seekToFirst(); iterator.valid(); iterator.next()) {
      expect(store.get(iterator.key())).toEqual(iterator.value());
      found.push(`${fromUtf8(iterator.key())}=${fromUtf8(iterator.value())}`);
    }
    iterator.close();
    return found;
  } finally {
    store.close();
  }
}

describe("several damages", () => {
  test("in several files are all told, and those in a row as one", () => {
    const db = filledStore();
    const files = filesOf(readManifest(db.disk, folder)).toSorted((a, b) => a.number - b.number);
    const [first, second, third, fourth] = files.map(({ number }) => runPath(folder, number));
    const blocks = blocksOf(db, first!);
    for (const at of [1, 2, blocks.length - 2]) blocks[at]![9]! ^= 0x10;
    rewrite(db, first!, blocks);
    db.disk.remove(second!);
    db.disk.damage(third!, db.disk.read(third!)!.slice(0, -1));
    db.disk.damage(fourth!, new Uint8Array(0));
    const found = briefly(db).toSorted();
    expect(found.filter((line) => line.startsWith("000001"))).toEqual([
      `000001.run 1 2: the checksum does not match`,
      `000001.run ${blocks.length - 2}: the checksum does not match`,
    ]);
    const [, missing, cut, empty] = files.map(({ number }) => runName(number));
    expect(found).toContain(`${missing} : no such file`);
    expect(found).toContain(`${cut} : ${files[2]!.bytes - 1} bytes`);
    expect(found).toContain(`${empty} : 0 bytes`);
  });

  test("a lost MANIFEST beside runs is one", () => {
    const db = filledStore();
    db.disk.remove(`${folder}/MANIFEST`);
    const { findings, leftovers, store } = check(db);
    expect(findings.map(brief)).toEqual(["MANIFEST : no such file"]);
    expect({ leftovers, store }).toEqual({ leftovers: [], store: undefined });
  });

  test("a MANIFEST of another format is FORMAT, not damage", () => {
    const db = filledStore();
    const path = `${folder}/MANIFEST`;
    const bytes = db.disk.read(path)!;
    // Format, then the checksum anew: magic, format, length and body are in it.
    bytes[8] = 99;
    const checksum = crc32(bytes.subarray(18), crc32(bytes.subarray(0, 14), 0x6d616e66));
    new DataView(bytes.buffer, bytes.byteOffset).setUint32(14, checksum, true);
    db.disk.damage(path, bytes);
    const [finding, ...others] = check(db).findings;
    expect(others).toEqual([]);
    expect(finding).toMatchObject({ code: "FORMAT", file: path });
    expect(finding!.found).toContain("it has format 99");
  });
});

/** The blocks of a file of MemoryTables. */
function blocksOf(db: TextStore, path: string): Uint8Array[] {
  const number = Number(path.slice(-10, -4));
  const { blocks } = filesOf(readManifest(db.disk, folder)).find((file) => file.number === number)!;
  const table = db.tables.open(path);
  const found = Array.from({ length: blocks }, (_, at) => table.block(at));
  table.close();
  return found;
}

function rewrite(db: { disk: MemoryDisk; tables: MemoryTables }, path: string, blocks: Uint8Array[]): void {
  const builder = db.tables.begin(path);
  for (const block of blocks) builder.add(block);
  builder.finish();
}

// What follows has right checksums, as a program with a mistake would write it.

/** A store of one file, made of rows that `make` adds, and then changed. */
function forged(options: {
  readonly add: (writer: TableWriter) => void;
  readonly blocks?: (blocks: Uint8Array[]) => void;
  readonly manifest?: (manifest: Manifest) => Manifest;
}): string[] {
  const disk = new MemoryDisk();
  const tables = new MemoryTables(disk);
  disk.createFolder(folder);
  const path = `${folder}/000001.run`;
  const writer = new TableWriter(1, tables.begin(path));
  options.add(writer);
  const { sample, ...made } = writer.finish();
  const table = tables.open(path);
  const blocks = Array.from({ length: made.blocks }, (_, at) => table.block(at));
  options.blocks?.(blocks);
  rewrite({ disk, tables }, path, blocks);
  const last = blocks.at(-1)!;
  const checksum = new DataView(last.buffer, last.byteOffset).getUint32(last.length - checksumBytes, true);
  const file = { ...made, checksum, bytes: disk.read(path)!.length };
  const manifest: Manifest = {
    ...emptyManifest,
    sequence: 100,
    nextNumber: 3,
    runs: [{ id: 2, parts: [{ file, from: undefined }] }],
  };
  writeManifest(disk, folder, options.manifest?.(manifest) ?? manifest);
  return briefly({ disk, tables });
}

function manyRows(writer: TableWriter): void {
  for (let at = 10; at < 60; at++)
    addRow(writer, putBytes(toUtf8(`key ${at}`), at, { value: new Uint8Array(300) }));
}

function reseal(blocks: Uint8Array[], at: number, payload: Uint8Array): void {
  const bytes = concatBytes([payload, new Uint8Array(checksumBytes)]);
  sealBlock(bytes, payload.length, 1, at);
  blocks[at] = bytes;
}

describe("what no store would write", () => {
  test("a forged file that nothing was changed in is whole", () => {
    expect(forged({ add: manyRows })).toEqual([]);
  });

  test("a filter that misses keys, and an index that has them elsewhere", () => {
    const emptyFilter = forged({
      add: manyRows,
      blocks: (blocks) => {
        const at = blocks.length - 3;
        reseal(blocks, at, new Uint8Array(blocks[at]!.length - checksumBytes));
      },
    });
    expect(emptyFilter).toEqual([
      '000001.run 0 "key 10": a key that the filter does not have, the first of 50',
      expect.stringContaining("over all blocks"),
    ]);
    const shifted = forged({
      add: manyRows,
      blocks: (blocks) => {
        const at = blocks.length - 2;
        const payload = blocks[at]!.slice(0, -checksumBytes);
        payload[payload.length - 1]!--;
        reseal(blocks, at, payload);
      },
    });
    expect(shifted[0]).toMatch(/^000001.run \d+ "key \d+": a key that the index has elsewhere/);
  });

  test("a footer that says what is not there", () => {
    const found = forged({
      add: manyRows,
      blocks: (blocks) => {
        const at = blocks.length - 1;
        const footer = decodeFooter(blocks[at]!.slice(0, -checksumBytes));
        reseal(blocks, at, encodeFooter({ ...footer, keys: 49, sequenceMax: 61, contentBytes: 1 }));
      },
    });
    const last = found[0]!.split(":")[0];
    expect(found).toEqual([
      `${last}: a footer that says 49 keys`,
      `${last}: a footer that says 1 bytes of rows`,
      `${last}: a footer that says 61 as the highest sequence number`,
    ]);
  });

  test("records that are none, and sequence numbers that were never given", () => {
    const found = forged({
      add: (writer) => {
        addRow(writer, put("a", 5));
        addRow(writer, { key: toUtf8("b"), sequence: 6, record: toUtf8("no record") });
        addRow(writer, { key: toUtf8("c"), sequence: 7, record: toUtf8("no record") });
        addRow(writer, put("d", 101));
      },
    });
    expect(found).toEqual([
      '000001.run 0 "b": record format 110 is unknown, the first of 2',
      '000001.run 0 "d": the sequence number 101',
    ]);
  });

  test("rows out of order", () => {
    const found = forged({
      add: (writer) => {
        addRow(writer, put("a", 5));
        addRow(writer, put("b", 5));
        addRow(writer, put("c", 5));
      },
      blocks: (blocks) => {
        const payload = blocks[0]!.slice(0, -checksumBytes);
        // The offsets of the first two rows, swapped.
        const offsets = payload.length - 16;
        payload.copyWithin(offsets, offsets + 4, offsets + 8);
        payload.fill(0, offsets + 4, offsets + 8);
        reseal(blocks, 0, payload);
      },
    });
    expect(found).toContain('000001.run 0 "a": a row out of order');
  });

  test("another file in the place of one, of the same size", () => {
    const db = new TextStore();
    for (const value of ["old", "new"]) {
      db.put("key", value);
      db.flushOnly();
    }
    db.store.close();
    db.disk.damage(`${folder}/000003.run`, db.disk.read(`${folder}/000001.run`)!);
    const found = briefly(db);
    expect(found.length).toBeGreaterThan(0);
    for (const line of found) expect(line).toStartWith("000003.run ");
  });

  test("runs in MANIFEST that cannot be", () => {
    const numbers = forged({ add: manyRows, manifest: (manifest) => ({ ...manifest, nextNumber: 2 }) });
    expect(numbers).toEqual(["MANIFEST : the number 2"]);
    const twice = forged({
      add: manyRows,
      manifest: ({ runs, ...manifest }) => ({ ...manifest, runs: [{ ...runs[0]!, id: 1 }] }),
    });
    expect(twice).toEqual(["MANIFEST : the number 1 twice"]);
    const overlapping = forged({
      add: manyRows,
      manifest: ({ runs, ...manifest }) => {
        const [part] = runs[0]!.parts;
        return { ...manifest, runs: [{ id: 2, parts: [part!, part!] }] };
      },
    });
    expect(overlapping).toContain(
      'MANIFEST : "000001.run" up to "key 59" and "000001.run" from "key 10" on, both in run 2',
    );
    const unmerged = forged({
      add: manyRows,
      manifest: (manifest) => ({ ...manifest, merges: [{ inputs: [7], output: 2, isBottom: true }] }),
    });
    expect(unmerged).toEqual(["MANIFEST : a merge of runs 7 into run 2"]);
  });

  test("an installed state that goes further than what is applied", () => {
    for (const logStart of [
      { index: 9, term: 0 },
      { index: 8, term: 3 },
    ])
      expect(
        forged({
          add: manyRows,
          manifest: (manifest) => ({ ...manifest, applied: { index: 8, term: 2 }, logStart }),
        }),
      ).toEqual([`MANIFEST : an installed state up to entry ${logStart.index} of term ${logStart.term}`]);
  });
});
