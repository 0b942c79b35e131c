/** Sealed memtables: what readers, the owner and the next open see before and after they are stored. */
import { describe, expect, test } from "bun:test";
import { AssertionError } from "../../src/lib/assert.ts";
import { toUtf8 } from "../../src/lib/bytes.ts";
import { at, TextStore } from "./text-store.ts";
import { keyOf, manifestOf, TwinStore } from "./twin-store.ts";

describe("a sealed memtable", () => {
  test("is read until its run is there, under what is written later", () => {
    const db = new TextStore();
    for (let place = 0; place < 500; place++) db.put(keyOf(place), "filler");
    db.put("a", "1");
    db.put("b", "1");
    db.seal();
    const snapshot = db.store.getSnapshot();
    db.put("b", "2");
    db.delete("a");
    db.put("c", "2");
    const iterator = db.store.newIterator();
    iterator.seekToFirst();
    let slices = 0;
    do {
      expect([db.get("a"), db.get("b"), db.get("c")]).toEqual([undefined, "2", "2"]);
      expect(["a", "b", "c"].map((key) => db.get(key, snapshot))).toEqual(["1", "1", undefined]);
      expect(db.all().startsWith("b=2 c=2 key0000=filler")).toBe(true);
      expect(db.store.getRecord(toUtf8("b"))).toMatchObject({ created: 502, modified: 503, count: 2 });
      expect(at(iterator)).toBe("b=2");
      slices++;
      db.workers.step();
    } while (db.store.isSealed);
    expect(slices).toBeGreaterThan(2);
    expect(db.runFiles).toEqual(["000001.run"]);
    expect([db.get("a", snapshot), db.get("b")]).toEqual(["1", "2"]);
    expect(at(iterator)).toBe("b=2");
  });

  test("becomes durable with what was applied when it was sealed, and nothing that was written later", () => {
    const db = new TextStore();
    db.put("a", "1");
    db.store.seal({ index: 7, term: 2 });
    db.put("a", "2");
    db.put("b", "2");
    expect(db.store.applied.index).toBe(0);
    db.workers.settle();
    expect(db.store.applied).toEqual({ index: 7, term: 2 });
    db.reopen();
    expect(db.store.applied).toEqual({ index: 7, term: 2 });
    expect(db.store.sequence).toBe(1);
    expect(db.all()).toBe("a=1");
  });

  test("whose run is half built when the store is closed leaves no file behind", () => {
    const db = new TextStore();
    for (let place = 0; place < 500; place++) db.put(keyOf(place), "filler");
    db.seal();
    db.workers.step();
    expect(db.runFiles).toEqual(["000001.run"]);
    expect(db.store.isSealed).toBe(true);
    db.store.close();
    expect(db.runFiles).toEqual([]);
  });

  test("may wait beside another, the older one is stored first, and a third must wait to be sealed", () => {
    const db = new TextStore();
    for (const value of ["1", "2"]) {
      for (let place = 0; place < 200; place++) db.put(keyOf(place), value);
      db.put("k", value);
      expect(db.store.canSeal).toBe(true);
      db.seal();
    }
    db.put("k", "3");
    expect(db.store.canSeal).toBe(false);
    expect(() => db.store.seal({ index: 9, term: 1 })).toThrow(AssertionError);
    expect(db.get("k")).toBe("3");
    expect(db.get(keyOf(0))).toBe("2");
    while (!db.store.canSeal) db.workers.step();
    expect([db.store.applied.index, db.store.isSealed]).toEqual([1, true]);
    expect(db.get(keyOf(0))).toBe("2");
    db.seal();
    expect(db.get("k")).toBe("3");
    db.workers.settle();
    expect([db.store.applied.index, db.store.isSealed]).toEqual([3, false]);
    db.reopen();
    expect(db.get("k")).toBe("3");
  });

  test("that is empty moves what is applied, and makes no run", () => {
    const db = new TextStore();
    db.store.seal({ index: 3, term: 1 });
    db.workers.settle();
    db.reopen();
    expect(db.store.applied.index).toBe(3);
    expect(db.runFiles).toEqual([]);
  });

  test("is not overtaken by a flush, which finishes it first, whatever has been done of it", () => {
    for (let slices = 0; slices < 6; slices++) {
      const twin = new TwinStore();
      for (let place = 0; place < 400; place++) twin.put(keyOf(place), "1");
      twin.db.seal();
      twin.put(keyOf(5), "2");
      for (let slice = 0; slice < slices; slice++) twin.db.workers.step();
      twin.db.flushOnly();
      expect(twin.db.store.isSealed).toBe(false);
      twin.db.reopen();
      twin.check();
      expect(twin.db.store.applied.index).toBe(2);
    }
  });

  test("that is under way is gone at close, and leaves a store that opens as it was", () => {
    for (let slices = 0; slices < 7; slices++) {
      const db = new TextStore();
      db.put("a", "1");
      db.flushOnly();
      for (let place = 0; place < 400; place++) db.put(keyOf(place), "2");
      db.seal();
      for (let slice = 0; slice < slices; slice++) db.workers.step();
      const wasStored = !db.store.isSealed;
      db.reopen();
      expect(db.get("a")).toBe("1");
      expect(db.get(keyOf(0))).toBe(wasStored ? "2" : undefined);
      expect(db.store.applied.index).toBe(wasStored ? 2 : 1);
      expect(db.runFiles.length).toBe(wasStored ? 2 : 1);
    }
  });
});

describe("the owner is told", () => {
  test("how much slower writes should come: nothing, then more and more, and nothing again when they are stored", () => {
    const db = new TextStore({ memtableBytesMax: 20_000 });
    const pressures: number[] = [];
    for (let place = 0; place < 100; place++) {
      db.put(keyOf(place), "x".repeat(1000));
      if (db.store.isFull && db.store.canSeal) db.seal();
      pressures.push(db.store.pressure);
    }
    expect(pressures[30]).toBe(0);
    expect(pressures).toEqual(pressures.toSorted((a, b) => a - b));
    expect(pressures.some((pressure) => pressure > 0 && pressure < 0.2)).toBe(true);
    expect(pressures.some((pressure) => pressure > 0.8 && pressure < 1)).toBe(true);
    expect(pressures.at(-1)).toBe(1);
    while (!db.store.canSeal) db.workers.step();
    db.seal();
    db.workers.settle();
    expect(db.store.pressure).toBe(0);
  });

  test("that merges fall behind, by how many runs there are", () => {
    const db = new TextStore({ runsMax: 1 });
    const pressures: number[] = [];
    for (let run = 0; run < 8; run++) {
      db.put(keyOf(run), "1");
      db.seal();
      // Flushes only: merges come when there are none.
      while (db.store.isSealed) db.workers.step();
      pressures.push(db.store.pressure);
    }
    expect(pressures.slice(0, 3)).toEqual([0, 0, 0]);
    expect(pressures.at(-1)).toBe(1);
    db.workers.settle();
    expect(db.store.pressure).toBe(0);
  });
});

test("a store at rest gives back space that it leaves alone while it is written to", () => {
  const twin = new TwinStore({ tableBytesMax: 1_000_000 });
  const { db } = twin;
  for (let place = 0; place < 1000; place++) twin.put(keyOf(place), "x".repeat(40));
  db.flush();
  for (let place = 0; place < 250; place++) twin.put(keyOf(4 * place), "y".repeat(40));
  db.flush();
  const bytes = () => Number(db.store.getProperty("kvraft.file-bytes"));
  const before = bytes();
  expect(manifestOf(db).runs.length).toBe(2);
  db.store.rest(true);
  db.store.rest(true);
  db.workers.settle();
  expect(manifestOf(db).runs.length).toBe(1);
  expect(bytes()).toBeLessThan(0.85 * before);
  twin.check();
});
