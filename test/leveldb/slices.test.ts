/** Flushes and merges in slices: what readers, the owner and the next open see before, between and after them. */
import { describe, expect, test } from "bun:test";
import type { TableBuilder } from "../../src/env/tables.ts";
import { AssertionError } from "../../src/lib/assert.ts";
import { toUtf8 } from "../../src/lib/bytes.ts";
import { KvraftError } from "../../src/lib/error.ts";
import { at, failureOf, TextStore, text } from "./text-store.ts";

/** Works, and ends syncs, until nothing is left to do. */
function workOut(db: TextStore): void {
  do {
    while (db.store.work());
  } while (db.tables.endSync());
}

describe("a sealed memtable", () => {
  test("is read until its run is there, under what is written later", () => {
    const db = new TextStore();
    db.put("a", "1");
    db.put("b", "1");
    db.store.seal({ index: 1, term: 1 });
    const snapshot = db.store.getSnapshot();
    db.put("b", "2");
    db.delete("a");
    db.put("c", "2");
    const iterator = db.store.newIterator();
    iterator.seekToFirst();
    do {
      expect([db.get("a"), db.get("b"), db.get("c")]).toEqual([undefined, "2", "2"]);
      expect([db.get("a", snapshot), db.get("b", snapshot), db.get("c", snapshot)]).toEqual([
        "1",
        "1",
        undefined,
      ]);
      expect(db.all()).toBe("b=2 c=2");
      expect(db.store.getRecord(toUtf8("b"))).toMatchObject({ created: 2, modified: 3, count: 2 });
      expect(at(iterator)).toBe("b=2");
      if (!db.store.work(1)) db.tables.endSync();
    } while (db.store.isSealed);
    expect(db.runFiles).toEqual(["000001.run"]);
    expect(db.get("a", snapshot)).toBe("1");
    expect(db.get("b")).toBe("2");
  });

  test("becomes durable with what was applied when it was sealed, and nothing that was written later", () => {
    const db = new TextStore();
    db.put("a", "1");
    db.store.seal({ index: 7, term: 2 });
    db.put("a", "2");
    db.put("b", "2");
    expect(db.store.applied.index).toBe(0);
    workOut(db);
    expect(db.store.applied).toEqual({ index: 7, term: 2 });
    db.reopen();
    expect(db.store.applied).toEqual({ index: 7, term: 2 });
    expect(db.store.sequence).toBe(1);
    expect(db.all()).toBe("a=1");
  });

  test("is one at a time", () => {
    const db = new TextStore();
    db.put("a", "1");
    db.store.seal({ index: 1, term: 1 });
    expect(() => db.store.seal({ index: 2, term: 1 })).toThrow(AssertionError);
  });

  test("that is empty moves what is applied, and makes no run", () => {
    const db = new TextStore();
    db.store.seal({ index: 3, term: 1 });
    workOut(db);
    db.reopen();
    expect(db.store.applied.index).toBe(3);
    expect(db.runFiles).toEqual([]);
  });

  test("is not overtaken by a flush, which finishes it first, whatever has been done of it", () => {
    for (let slices = 0; slices < 12; slices++) {
      const db = new TextStore();
      for (const key of ["a", "b", "c"]) db.put(key, "1");
      db.store.seal({ index: 1, term: 1 });
      db.put("a", "2");
      for (let slice = 0; slice < slices; slice++) db.store.work(1);
      db.store.flush({ index: 2, term: 1 });
      expect(db.store.isSealed).toBe(false);
      expect(db.tables.endSync() && db.store.hasWork).toBe(false);
      db.reopen();
      expect(db.all()).toBe("a=2 b=1 c=1");
      expect(db.store.applied.index).toBe(2);
    }
  });
});

describe("a slice", () => {
  test("takes in no more rows than asked for, of flushes and of merges, and changes nothing that is read", () => {
    const db = new TextStore({ runsMax: 1 });
    let rows = 0;
    const begin = db.tables.begin.bind(db.tables);
    db.tables.begin = (path): TableBuilder => {
      const builder = begin(path);
      const add = builder.add.bind(builder);
      builder.add = (row) => {
        rows++;
        add(row);
      };
      return builder;
    };
    for (let round = 1; round <= 3; round++) {
      for (let key = 0; key < 50; key++) db.put(`${key}`, `${round}`);
      db.store.seal({ index: round, term: 1 });
      do {
        const before = rows;
        if (!db.store.work(7)) db.tables.endSync();
        expect(rows - before).toBeLessThanOrEqual(7);
        expect(db.get("49")).toBe(`${round}`);
      } while (db.store.isSealed || db.store.hasWork);
    }
    expect(rows).toBe(3 * 50 + 2 * 50);
    expect(db.runFiles.length).toBe(1);
  });

  test("of a merge waits for the flush, and what is flushed meanwhile stays newer than what is merged", () => {
    const db = new TextStore({ runsMax: 2 });
    for (let round = 1; round <= 3; round++) {
      for (let key = 0; key < 20; key++) db.put(`key${key}`, `round ${round}`);
      db.store.seal({ index: round, term: 1 });
      while (db.store.isSealed) if (!db.store.work(5)) db.tables.endSync();
    }
    for (let slices = 0; slices < 3; slices++) db.store.work(5);
    expect(db.runFiles.length).toBe(4);
    db.put("key3", "while merging");
    db.store.seal({ index: 4, term: 1 });
    while (db.store.isSealed) if (!db.store.work(5)) db.tables.endSync();
    expect(db.lines).toEqual([]);
    workOut(db);
    expect(db.lines[0]).toMatch(/^Merged 00000\d\.run 00000\d\.run into /);
    expect(db.get("key3")).toBe("while merging");
    db.reopen();
    expect(db.get("key3")).toBe("while merging");
    expect(db.get("key4")).toBe("round 3");
  });

  test("goes to merges in turn with flushes that never pause, once runs are many", () => {
    const db = new TextStore({ runsMax: 3 });
    let runsMost = 0;
    for (let round = 1; round <= 60; round++) {
      for (let key = 0; key < 10; key++) db.put(`key${(round * 7 + key) % 100}`, `round ${round}`);
      while (db.store.isSealed) {
        db.tables.endSync();
        db.store.work(2);
      }
      db.store.seal({ index: round, term: 1 });
      runsMost = Math.max(runsMost, db.runFiles.length);
    }
    expect(db.lines.length).toBeGreaterThan(5);
    expect(runsMost).toBeLessThan(20);
  });

  test("that has nothing to do is none: an idle store has no work, nor has one that waits for the disk", () => {
    const db = new TextStore();
    expect(db.store.hasWork).toBe(false);
    expect(db.store.work()).toBe(false);
    db.put("a", "1");
    db.store.seal({ index: 1, term: 1 });
    expect(db.store.hasWork).toBe(true);
    while (db.store.work());
    expect([db.store.isSealed, db.store.hasWork]).toEqual([true, false]);
    db.tables.endSync();
    expect([db.store.isSealed, db.store.hasWork]).toEqual([true, true]);
    workOut(db);
    expect([db.store.isSealed, db.store.hasWork]).toEqual([false, false]);
  });
});

describe("work under way", () => {
  test("is gone at close, and leaves a store that opens as it was", () => {
    for (let slices = 1; slices < 14; slices++) {
      const db = new TextStore();
      db.put("a", "1");
      db.flush();
      for (const key of ["a", "b", "c", "d"]) db.put(key, "2");
      db.store.seal({ index: 9, term: 1 });
      for (let slice = 0; slice < slices; slice++) db.store.work(1);
      const wasStored = !db.store.isSealed;
      db.reopen();
      db.tables.endSync();
      expect(db.all()).toBe(wasStored ? "a=2 b=2 c=2 d=2" : "a=1");
      expect(db.runFiles.length).toBe(wasStored ? 2 : 1);
    }
  });

  test("that fails beside the event loop fails the next call, and every later one, and nothing is lost", () => {
    const db = new TextStore();
    db.put("a", "1");
    db.flush();
    db.put("b", "2");
    db.store.seal({ index: 2, term: 1 });
    while (db.store.work());
    db.disk.beforeStep = (action) => {
      if (action === "sync") throw new KvraftError("NO_SPACE", "Cannot sync: the disk is full");
    };
    db.tables.endSync();
    db.disk.beforeStep = undefined;
    db.put("c", "3");
    expect(db.store.hasWork).toBe(true);
    for (const use of [
      () => db.store.work(),
      () => db.store.work(),
      () => db.store.flushSealed(),
      () => db.store.flush({ index: 3, term: 1 }),
    ])
      expect(failureOf(use).message).toBe("Cannot sync: the disk is full");
    expect(db.store.hasWork).toBe(false);
    expect(db.all()).toBe("a=1 b=2 c=3");
    db.reopen();
    expect(db.all()).toBe("a=1");
    expect(db.runFiles).toEqual(["000001.run"]);
  });
});

test("memory that is full says so, then that work falls behind, then that it can wait no longer", () => {
  const db = new TextStore({ memtableBytesMax: 10_000 });
  const states: string[] = [];
  const note = () => {
    const { isFull, isSealed, isBehind, isOverfull } = db.store;
    const state = Object.entries({ isFull, isSealed, isBehind, isOverfull }).filter(([, is]) => is);
    const line = state.map(([name]) => name).join(" ");
    if (states.at(-1) !== line) states.push(line);
  };
  note();
  for (let place = 0; place < 60; place++) {
    db.put(String(place), "x".repeat(1000));
    note();
    if (db.store.isFull && !db.store.isSealed) db.store.seal({ index: 1, term: 1 });
    if (place > 50) db.store.flushSealed();
  }
  expect(states.slice(0, 5)).toEqual([
    "",
    "isFull",
    "isSealed",
    "isFull isSealed isBehind",
    "isFull isSealed isBehind isOverfull",
  ]);
  expect(text(db.store.get(toUtf8("0")))).toBe("x".repeat(1000));
});
