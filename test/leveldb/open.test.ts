/** What LevelDB's own tests (db_test and friends) pin down, as far as it applies: open, close, destroy, and folders that are not as they should be. */
import { describe, expect, test } from "bun:test";
import { LevelDB } from "../../src/leveldb/level-db.ts";
import { WriteBatch } from "../../src/leveldb/write-batch.ts";
import { toUtf8 } from "../../src/lib/bytes.ts";
import { MemoryDisk } from "./memory-disk.ts";
import { MemoryTables } from "./memory-tables.ts";
import { MemoryWorkers } from "./memory-workers.ts";
import { failureOf, folder, TextStore } from "./text-store.ts";

describe("open, close and destroy", () => {
  test("the options decide whether a store may or must exist", () => {
    const disk = new MemoryDisk();
    disk.createFolder("data");
    const files = { disk, tables: new MemoryTables(disk) };
    const env = { ...files, workers: new MemoryWorkers(files) };
    const missing = failureOf(() => LevelDB.open(env, folder));
    expect(missing.code).toBe("NOT_FOUND");
    expect(missing.message).toBe(
      `Cannot open "${folder}": the database does not exist (createIfMissing is false)`,
    );
    expect(disk.exists(folder)).toBe(false);
    LevelDB.open(env, folder, { createIfMissing: true, errorIfExists: true }).close();
    LevelDB.open(env, folder).close();
    LevelDB.open(env, folder, { createIfMissing: true }).close();
    const exists = failureOf(() => LevelDB.open(env, folder, { createIfMissing: true, errorIfExists: true }));
    expect(exists.code).toBe("EXISTS");
    expect(exists.message).toBe(`Cannot open "${folder}": the database exists (errorIfExists is true)`);
  });

  test("a store is open once at a time, and a failed open keeps no lock", () => {
    const db = new TextStore();
    expect(failureOf(() => db.open()).code).toBe("LOCKED");
    db.put("a", "1");
    db.flush();
    db.store.close();
    const run = db.disk.read(`${folder}/000001.run`)!;
    db.disk.damage(`${folder}/000001.run`, run.slice(1));
    expect(failureOf(() => db.open()).code).toBe("CORRUPTION");
    db.disk.damage(`${folder}/000001.run`, run);
    db.store = db.open();
    expect(db.get("a")).toBe("1");
  });

  test("a closed store refuses everything, and so do its iterators", () => {
    const db = new TextStore();
    const iterator = db.store.newIterator();
    db.store.getSnapshot();
    db.store.close();
    db.store.close();
    iterator.close();
    const uses = [
      () => db.get("a"),
      () => db.put("a", "1"),
      () => db.delete("a"),
      () => db.store.write(new WriteBatch()),
      () => db.store.getRecord(toUtf8("a")),
      () => db.store.newIterator(),
      () => db.store.getSnapshot(),
      () => db.flushOnly(),
      () => db.seal(),
      () => db.store.flushSealed(),
      () => db.store.compactRange(),
      () => db.store.rest(true),
      () => db.store.getProperty("leveldb.stats"),
      () => db.store.approximateSizes([]),
      () => iterator.seekToFirst(),
    ];
    for (const use of uses) expect(failureOf(use).code).toBe("CLOSED");
    expect(db.tables.openCount).toBe(0);
  });

  test("destroy removes the files of a store and no others, and refuses an open one", () => {
    const db = new TextStore();
    db.put("a", "1");
    db.flush();
    expect(failureOf(() => LevelDB.destroy(db, folder)).code).toBe("LOCKED");
    db.store.close();
    db.disk.open(`${folder}/notes.txt`, "create");
    LevelDB.destroy(db, folder);
    expect(db.disk.list(folder)).toEqual(["notes.txt"]);
    expect(failureOf(() => db.open()).code).toBe("NOT_FOUND");
    LevelDB.destroy(db, folder);
    LevelDB.destroy(db, "data/never there");
    expect(db.disk.exists("data/never there")).toBe(false);
  });
});

describe("what is wrong with the folder", () => {
  test("a missing run is CORRUPTION, and nothing is removed", () => {
    const db = new TextStore();
    db.put("a", "1");
    db.flushOnly();
    db.put("a", "2");
    db.flushOnly();
    db.store.close();
    expect(db.runFiles).toEqual(["000001.run", "000003.run"]);
    db.disk.remove(`${folder}/000001.run`);
    const failure = failureOf(() => db.open());
    expect(failure.code).toBe("CORRUPTION");
    expect(failure.message).toContain(`Cannot open run "${folder}/000001.run": it is missing`);
    expect(db.runFiles).toEqual(["000003.run"]);
  });

  test("runs without a MANIFEST are CORRUPTION, never an empty store", () => {
    const db = new TextStore();
    db.put("a", "1");
    db.flush();
    db.store.close();
    db.disk.remove(`${folder}/MANIFEST`);
    for (const options of [{}, { createIfMissing: true }]) {
      const failure = failureOf(() => db.open(options));
      expect(failure.code).toBe("CORRUPTION");
      expect(failure.message).toContain(
        `Cannot open "${folder}": it holds runs ("000001.run") but no MANIFEST`,
      );
    }
    expect(db.runFiles).toEqual(["000001.run"]);
  });

  test("a run that is shorter or longer than MANIFEST says is CORRUPTION at open", () => {
    const db = new TextStore();
    db.put("a", "1");
    db.flush();
    db.store.close();
    const path = `${folder}/000001.run`;
    const whole = db.disk.read(path)!;
    for (const bytes of [whole.slice(0, -1), new Uint8Array([...whole, 0]), new Uint8Array(0)]) {
      db.disk.damage(path, bytes);
      const failure = failureOf(() => db.open());
      expect(failure.code).toBe("CORRUPTION");
      expect(failure.message).toContain(`Cannot open run "${path}": the file is damaged`);
    }
  });

  test("files that nobody names are removed at open, with a line for each run", () => {
    const db = new TextStore();
    db.put("a", "1");
    db.flush();
    db.store.close();
    for (const name of ["000009.run", "MANIFEST.new", "notes.txt"])
      db.disk.open(`${folder}/${name}`, "create");
    db.store = db.open();
    expect(db.disk.list(folder)).toEqual(["000001.run", "MANIFEST", "notes.txt"]);
    expect(db.lines).toEqual([`Removed "${folder}/000009.run": a crash has left it unfinished or unneeded`]);
    expect(db.get("a")).toBe("1");
  });
});
