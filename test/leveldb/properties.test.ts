/** What a store tells about itself: LevelDB's names and shapes, and some of its own. */
import { describe, expect, test } from "bun:test";
import { toUtf8 } from "../../src/lib/bytes.ts";
import { TextStore } from "./text-store.ts";
import { keyOf, unmergedStore } from "./twin-store.ts";

function numberOf(db: TextStore, name: string): number {
  const value = db.store.getProperty(name);
  expect(value, name).toMatch(/^\d+(\.\d+)?$/);
  return Number(value);
}

function range(start: string, limit: string) {
  return { start: toUtf8(start), limit: toUtf8(limit) };
}

/** A store of three runs: the newest of one key, the oldest of many files. */
function threeRuns(): TextStore {
  const db = new TextStore({ tableBytesMax: 20_000 });
  for (let place = 0; place < 1000; place++) db.put(keyOf(place), "x".repeat(100));
  db.flushOnly();
  for (let place = 100; place < 200; place++) db.put(keyOf(place), "y".repeat(100));
  db.flushOnly();
  db.put("\n", "z");
  db.flushOnly();
  return db;
}

describe("properties", () => {
  test("of a name that is none, or of a level that LevelDB does not have, are undefined", () => {
    const db = new TextStore();
    for (const name of [
      "",
      "leveldb",
      "leveldb.",
      "leveldb.statistics",
      "kvraft.",
      "stats",
      "leveldb.num-files-at-level",
      "leveldb.num-files-at-level7",
      "leveldb.num-files-at-level99",
      "leveldb.num-files-at-level-1",
      "leveldb.num-files-at-levelx",
      "leveldb.num-files-at-level1 ",
    ])
      expect(db.store.getProperty(name), name).toBeUndefined();
  });

  test("of an empty store are all there", () => {
    const db = new TextStore();
    for (let level = 0; level < 7; level++)
      expect(numberOf(db, `leveldb.num-files-at-level${level}`)).toBe(0);
    expect(db.store.getProperty("leveldb.stats")!.split("\n").length).toBe(4);
    for (const name of ["runs", "files", "file-bytes", "sealed-memtables", "sealed-bytes", "memtable-bytes"])
      expect(numberOf(db, `kvraft.${name}`)).toBe(0);
    for (const name of ["write-stalls", "merge-debt-bytes", "write-pressure"])
      expect(numberOf(db, `kvraft.${name}`)).toBe(0);
    expect(numberOf(db, "kvraft.space-ratio")).toBe(1);
    expect(numberOf(db, "leveldb.approximate-memory-usage")).toBe(0);
  });

  test("show each run as a level, the newest as level 0, and what has no level of its own in the last", () => {
    const db = threeRuns();
    const oldest = numberOf(db, "leveldb.num-files-at-level2");
    expect(oldest).toBeGreaterThan(3);
    expect(numberOf(db, "leveldb.num-files-at-level0")).toBe(1);
    expect(numberOf(db, "leveldb.num-files-at-level1")).toBe(1);
    expect(numberOf(db, "leveldb.num-files-at-level3")).toBe(0);
    expect(numberOf(db, "kvraft.runs")).toBe(3);
    expect(numberOf(db, "kvraft.files")).toBe(oldest + 2);
    for (let run = 0; run < 7; run++) {
      db.put("k", `${run}`);
      db.flushOnly();
    }
    for (let level = 0; level < 6; level++)
      expect(numberOf(db, `leveldb.num-files-at-level${level}`)).toBe(1);
    expect(numberOf(db, "leveldb.num-files-at-level6")).toBe(oldest + 3);
  });

  test("leveldb.stats is LevelDB's table, with a line for each level that has files or has cost something", () => {
    const db = threeRuns();
    const lines = db.store.getProperty("leveldb.stats")!.split("\n");
    expect(lines.slice(0, 3)).toEqual([
      "                               Compactions",
      "Level  Files Size(MB) Time(sec) Read(MB) Write(MB)",
      "--------------------------------------------------",
    ]);
    expect(lines.at(-1)).toBe("");
    const rows = lines.slice(3, -1);
    expect(rows.map((row) => row.trim().split(/\s+/).length)).toEqual([6, 6, 6]);
    expect(rows.map((row) => Number(row.slice(0, 3)))).toEqual([0, 1, 2]);
    expect(rows.map((row) => Number(row.slice(3, 12)))).toEqual([
      1,
      1,
      numberOf(db, "leveldb.num-files-at-level2"),
    ]);
    for (const row of rows)
      expect(row.length).toBe("Level  Files Size(MB) Time(sec) Read(MB) Write(MB)".length);
    db.store.compactRange();
    const [flushes, merges] = db.store.getProperty("leveldb.stats")!.split("\n").slice(3);
    expect(flushes!.trim().startsWith("0")).toBe(true);
    expect(merges!.trim().startsWith("1 ")).toBe(true);
  });

  test("leveldb.sstables names each file with its size and its keys, and those that are no text by their bytes", () => {
    const db = threeRuns();
    const text = db.store.getProperty("leveldb.sstables")!;
    const levels = text.split(/--- level \d ---\n/).slice(1);
    expect(levels.length).toBe(7);
    expect(levels[0]).toMatch(/^ \d+:\d+\[0x0a \.\. 0x0a\]\n$/);
    expect(levels[1]).toMatch(/^ \d+:\d+\[key0100 \.\. key0199\]\n$/);
    const oldest = levels[2]!.trim().split("\n");
    expect(oldest.length).toBe(numberOf(db, "leveldb.num-files-at-level2"));
    expect(oldest[0]).toMatch(/\[key0000 \.\. /);
    expect(oldest.at(-1)).toMatch(/ \.\. key0999\]$/);
    expect(levels.slice(3).join("")).toBe("");
    const sizes = [...text.matchAll(/:(\d+)\[/g)].map(([, size]) => Number(size));
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(numberOf(db, "kvraft.file-bytes"));
  });

  test("of memory grow with what is written, sealed and cached, and fall when it is stored", () => {
    const db = new TextStore({ memtableBytesMax: 100_000, tableBytesMax: 1_000_000 });
    for (let place = 0; place < 500; place++) db.put(keyOf(place), "x".repeat(100));
    const written = numberOf(db, "kvraft.memtable-bytes");
    expect(written).toBeGreaterThan(50_000);
    expect(numberOf(db, "leveldb.approximate-memory-usage")).toBe(written);
    db.seal();
    db.put("more", "y");
    expect([numberOf(db, "kvraft.sealed-memtables"), numberOf(db, "kvraft.sealed-bytes")]).toEqual([
      1,
      written,
    ]);
    expect(numberOf(db, "leveldb.approximate-memory-usage")).toBe(
      written + numberOf(db, "kvraft.memtable-bytes"),
    );
    db.workers.settle();
    expect([numberOf(db, "kvraft.sealed-memtables"), numberOf(db, "kvraft.sealed-bytes")]).toEqual([0, 0]);
    const resident = numberOf(db, "leveldb.approximate-memory-usage");
    expect(resident).toBeLessThan(5_000);
    for (let place = 0; place < 500; place++) db.get(keyOf(place));
    expect(numberOf(db, "leveldb.approximate-memory-usage")).toBeGreaterThan(resident + 50_000);
  });

  test("of merges under way tell what is left to do, until it is done", () => {
    const { db } = unmergedStore(5, 900);
    const debts: number[] = [];
    while (db.workers.step()) debts.push(numberOf(db, "kvraft.merge-debt-bytes"));
    expect(Math.max(...debts)).toBeGreaterThan(10_000);
    expect(debts.at(-1)).toBe(0);
    expect(numberOf(db, "kvraft.space-ratio")).toBe(1);
  });
});

describe("approximateSizes", () => {
  test("tell about how much of the files is in a range, of all runs together", () => {
    const db = threeRuns();
    const all = numberOf(db, "kvraft.file-bytes");
    const [everything, first, second, whole, none, empty, reversed, behind] = db.store.approximateSizes([
      range("", "z"),
      range("key0000", "key0500"),
      range("key0500", "key1"),
      range("key", "key1"),
      range("key0500", "key0500"),
      range("", ""),
      range("z", ""),
      range("key9", "z"),
    ]);
    expect(everything).toBe(all);
    expect([none, empty, reversed, behind]).toEqual([0, 0, 0, 0]);
    expect(Math.abs(first! + second! - whole!)).toBeLessThan(5000);
    // A block more or less for each end of a range.
    expect(first! / second!).toBeGreaterThan(0.9);
    expect(first! / second!).toBeLessThan(1.4);
    expect(first! + second!).toBeGreaterThan(0.95 * all);
    expect(db.store.approximateSizes([])).toEqual([]);
  });

  test("count nothing that is in memory only", () => {
    const db = new TextStore();
    db.put("a", "x".repeat(100_000));
    expect(db.store.approximateSizes([range("", "z")])).toEqual([0]);
    db.flush();
    expect(db.store.approximateSizes([range("", "z")])[0]).toBeGreaterThan(100_000);
  });
});
