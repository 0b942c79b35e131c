/** What LevelDB's own tests (db_test and friends) pin down, as far as it applies: points, batches, flushes. */
import { describe, expect, test } from "bun:test";
import { WriteBatch } from "../../src/leveldb/write-batch.ts";
import { AssertionError } from "../../src/lib/assert.ts";
import { fromUtf8, toUtf8 } from "../../src/lib/bytes.ts";
import { folder, TextStore, text } from "./text-store.ts";

describe("points", () => {
  test("an empty store holds nothing", () => {
    const db = new TextStore();
    expect(db.get("foo")).toBeUndefined();
    expect(db.store.getRecord(toUtf8("foo"))).toBeUndefined();
    expect(db.store.sequence).toBe(0);
    expect(db.store.applied).toEqual({ index: 0, term: 0 });
  });

  test("the empty key and the empty value are as good as others, in memory and in a run", () => {
    const db = new TextStore();
    db.put("", "v1");
    db.put("k", "");
    expect([db.get(""), db.get("k")]).toEqual(["v1", ""]);
    db.flush();
    expect([db.get(""), db.get("k")]).toEqual(["v1", ""]);
    expect(db.all()).toBe("=v1 k=");
    db.put("", "v2");
    expect(db.get("")).toBe("v2");
  });

  test("put, overwrite, delete, wherever the older version lies", () => {
    for (const mayFlush of [() => {}, (db: TextStore) => db.flush()]) {
      const db = new TextStore();
      db.put("foo", "v1");
      mayFlush(db);
      expect(db.get("foo")).toBe("v1");
      db.put("foo", "v2");
      expect(db.get("foo")).toBe("v2");
      mayFlush(db);
      expect(db.get("foo")).toBe("v2");
      db.delete("foo");
      expect(db.get("foo")).toBeUndefined();
      mayFlush(db);
      expect(db.get("foo")).toBeUndefined();
      db.delete("never there");
      expect(db.all()).toBe("");
    }
  });

  test("the run of the newer flush wins, not the one with the larger number", () => {
    const db = new TextStore({ runsMax: 2 });
    for (const value of ["1", "2", "3", "4", "5", "6", "7"]) {
      db.put("foo", value);
      db.flush();
      expect(db.get("foo")).toBe(value);
    }
    expect(db.runFiles.length).toBeLessThanOrEqual(2);
  });

  test("keys are bytes: 00 and FF are nothing special, and order is byte order", () => {
    const db = new TextStore();
    const keys = ["", "00", "0000", "00ff", "01", "7f", "80", "c3a9", "ff", "ff00", "ffff"];
    for (const key of keys.toReversed()) db.store.put(new Uint8Array(Buffer.from(key, "hex")), toUtf8(key));
    for (const round of ["memory", "run"]) {
      const found: string[] = [];
      const iterator = db.store.newIterator();
      for (iterator.seekToFirst(); iterator.valid(); iterator.next()) {
        expect(iterator.key().toHex()).toBe(fromUtf8(iterator.value()));
        found.push(iterator.key().toHex());
      }
      expect(found, round).toEqual(keys);
      for (const key of keys) expect(text(db.store.get(new Uint8Array(Buffer.from(key, "hex"))))).toBe(key);
      db.flush();
    }
  });

  test("a long key and a large value come back, in memory and in a run", () => {
    const db = new TextStore();
    const key = new Uint8Array(65536).map((_, place) => place % 251);
    const value = new Uint8Array(3_000_000).map((_, place) => place % 253);
    db.store.put(key, value);
    expect(db.store.get(key)).toEqual(value);
    db.flush();
    expect(db.store.get(key)).toEqual(value);
    expect(db.store.get(key.subarray(0, 65535))).toBeUndefined();
  });
});

describe("batches and sequence numbers", () => {
  test("all operations of a batch are applied in order and share one sequence number", () => {
    const db = new TextStore();
    const batch = new WriteBatch();
    batch.put(toUtf8("foo"), toUtf8("v1"));
    batch.put(toUtf8("bar"), toUtf8("v2"));
    batch.delete(toUtf8("foo"));
    batch.put(toUtf8("bar"), toUtf8("v3"));
    db.store.write(batch);
    expect(db.store.sequence).toBe(1);
    expect(db.all()).toBe("bar=v3");
    expect(db.store.getRecord(toUtf8("bar"))).toEqual({
      value: toUtf8("v3"),
      created: 1,
      modified: 1,
      count: 1,
    });
    db.store.write(new WriteBatch());
    expect(db.store.sequence).toBe(2);
  });

  test("the owner gives sequence numbers: equal and growing ones are taken, smaller ones are a bug", () => {
    const db = new TextStore();
    db.put("a", "1", 100);
    db.put("b", "2", 100);
    db.put("a", "3", 100);
    expect(db.store.getRecord(toUtf8("a"))).toEqual({
      value: toUtf8("3"),
      created: 100,
      modified: 100,
      count: 1,
    });
    db.put("a", "4", 2 ** 40);
    expect(db.store.getRecord(toUtf8("a"))).toEqual({
      value: toUtf8("4"),
      created: 100,
      modified: 2 ** 40,
      count: 2,
    });
    expect(() => db.put("a", "5", 99)).toThrow(AssertionError);
    db.flush();
    db.reopen();
    expect(db.store.sequence).toBe(2 ** 40);
    db.put("a", "6");
    expect(db.store.sequence).toBe(2 ** 40 + 1);
  });

  test("created and count do not depend on where the flushes were", () => {
    const rounds = [0b0000, 0b1111, 0b0101, 0b1010, 0b0010];
    for (const flushes of rounds) {
      const db = new TextStore({ runsMax: 2 });
      const steps = [
        () => db.put("k", "1", 1),
        () => db.put("k", "2", 2),
        () => db.put("k", "2 again", 2),
        () => db.put("k", "3", 5),
      ];
      steps.forEach((step, place) => {
        step();
        if ((flushes >> place) & 1) db.flush();
      });
      expect(db.store.getRecord(toUtf8("k")), String(flushes)).toEqual({
        value: toUtf8("3"),
        created: 1,
        modified: 5,
        count: 3,
      });
    }
  });

  test("a key that was deleted and put again starts a new life", () => {
    for (const mayFlush of [() => {}, (db: TextStore) => db.flush()]) {
      const db = new TextStore();
      db.put("other", "stays");
      db.put("k", "1");
      mayFlush(db);
      db.delete("k");
      mayFlush(db);
      db.put("k", "2");
      db.put("k", "3");
      expect(db.store.getRecord(toUtf8("k"))).toEqual({
        value: toUtf8("3"),
        created: 4,
        modified: 5,
        count: 2,
      });
    }
  });
});

describe("flushes", () => {
  test("the store never flushes on its own: it says when it is full, and takes writes all the same", () => {
    const db = new TextStore({ memtableBytesMax: 10_000, tableBytesMax: 1_000_000 });
    for (let place = 0; place < 5; place++) db.put(String(place), "x".repeat(1000));
    expect(db.store.isFull).toBe(false);
    for (let place = 5; place < 100; place++) db.put(String(place), "x".repeat(1000));
    expect(db.store.isFull).toBe(true);
    expect(db.runFiles).toEqual([]);
    db.flush();
    expect(db.store.isFull).toBe(false);
    expect(db.runFiles).toEqual(["000001.run"]);
  });

  test("a store is full before its memtable has no addresses left, however much memory it may use", () => {
    const db = new TextStore({ memtableBytesMax: 1024 ** 3 });
    // Each of these values takes a chunk of its own; there are 4096 chunks.
    const value = "x".repeat(140_000);
    let puts = 0;
    for (; !db.store.isFull && puts < 4000; puts++) db.put(`${puts}`, value);
    expect(puts).toBe(2049);
  });

  test("a reopened store has what was flushed, the sequence and the applied entry, and nothing else", () => {
    const db = new TextStore();
    db.put("a", "1");
    db.store.flush({ index: 77, term: 3 });
    db.put("b", "2");
    db.reopen();
    expect(db.all()).toBe("a=1");
    expect(db.store.applied).toEqual({ index: 77, term: 3 });
    expect(db.store.sequence).toBe(1);
  });

  test("a flush without writes records what is applied when it moved, and does nothing otherwise", () => {
    const db = new TextStore();
    db.store.flush({ index: 5, term: 1 });
    const steps = db.disk.steps;
    db.store.flush({ index: 5, term: 1 });
    expect(db.disk.steps).toBe(steps);
    db.reopen();
    expect(db.store.applied).toEqual({ index: 5, term: 1 });
    expect(db.runFiles).toEqual([]);
    expect(() => db.store.flush({ index: 4, term: 1 })).toThrow(AssertionError);
  });

  test("a flush records a sequence number that moved without a write", () => {
    const db = new TextStore();
    db.store.write(new WriteBatch(), 9);
    db.store.flush({ index: 0, term: 0 });
    db.reopen();
    expect(db.store.sequence).toBe(9);
  });

  test("repeated writes to one key do not grow the store without bound", () => {
    const db = new TextStore();
    for (let round = 0; round < 50; round++) {
      for (let place = 0; place < 10; place++) db.put("key", "x".repeat(1000));
      db.flush();
    }
    const bytes = db.runFiles.reduce((sum, name) => sum + db.disk.read(`${folder}/${name}`)!.length, 0);
    expect(bytes).toBeLessThan(4 * 1100);
    expect(db.store.getRecord(toUtf8("key"))?.count).toBe(500);
  });

  test("a store whose keys were all deleted shrinks to nothing", () => {
    const db = new TextStore({ runsMax: 1 });
    for (const key of ["a", "b"]) db.put(key, "1");
    db.flush();
    for (const key of ["a", "b"]) db.delete(key);
    db.flush();
    expect(db.runFiles).toEqual([]);
    expect(db.tables.openCount).toBe(0);
    db.reopen();
    expect(db.all()).toBe("");
  });

  test("with autoFlush full memory is flushed, and so is what is left at close", () => {
    const db = new TextStore({ autoFlush: true, memtableBytesMax: 5000 });
    for (let place = 0; place < 40; place++) db.put(String(place), "x".repeat(1000));
    expect(db.runFiles.length).toBeGreaterThan(0);
    expect(Number(db.store.getProperty("kvraft.sealed-memtables"))).toBeLessThanOrEqual(2);
    expect(Number(db.store.getProperty("kvraft.write-stalls"))).toBeGreaterThan(0);
    db.put("last", "1");
    db.reopen();
    expect(db.get("last")).toBe("1");
    for (let place = 0; place < 40; place++) expect(db.get(String(place))).toBe("x".repeat(1000));
    expect(db.store.applied).toEqual({ index: 0, term: 0 });
  });
});
