/** What LevelDB's own tests (db_test and friends) pin down, as far as it applies: snapshots and iterators. */
import { describe, expect, test } from "bun:test";
import { AssertionError } from "../../src/lib/assert.ts";
import { fromUtf8, toUtf8 } from "../../src/lib/bytes.ts";
import { at, TextStore } from "./text-store.ts";

describe("snapshots", () => {
  test("each sees its own state, before and after flushes and merges, identical ones included", () => {
    const db = new TextStore({ runsMax: 1 });
    const empty = db.store.getSnapshot();
    db.put("foo", "v1");
    const one = db.store.getSnapshot();
    const alsoOne = db.store.getSnapshot();
    db.put("foo", "v2");
    db.flush();
    const two = db.store.getSnapshot();
    db.put("foo", "v3");
    db.put("bar", "b");
    db.flush();
    db.delete("foo");
    const check = () => {
      expect([empty, one, alsoOne, two].map((snapshot) => db.get("foo", snapshot))).toEqual([
        undefined,
        "v1",
        "v1",
        "v2",
      ]);
      expect(db.get("bar", two)).toBeUndefined();
      expect([empty.sequence, one.sequence, two.sequence]).toEqual([0, 1, 2]);
    };
    check();
    db.flush();
    check();
    expect(db.all(db.store.newIterator({ snapshot: one }))).toBe("foo=v1");
    db.store.releaseSnapshot(one);
    expect(db.get("foo", alsoOne)).toBe("v1");
    for (const snapshot of [empty, alsoOne, two]) db.store.releaseSnapshot(snapshot);
    expect(db.get("foo")).toBeUndefined();
  });

  test("a snapshot is not touched by a later write at its own sequence number, also when that is flushed", () => {
    const db = new TextStore();
    db.put("a", "1", 5);
    const snapshot = db.store.getSnapshot();
    const iterator = db.store.newIterator();
    db.put("a", "2", 5);
    db.put("b", "3", 5);
    db.flush();
    expect([db.get("a", snapshot), db.get("b", snapshot)]).toEqual(["1", undefined]);
    expect(db.all(iterator)).toBe("a=1");
    expect(db.all()).toBe("a=2 b=3");
  });

  test("hidden versions and their files go when the last one who sees them has gone, and not before", () => {
    const db = new TextStore({ runsMax: 1 });
    db.put("foo", "old");
    db.flush();
    const snapshot = db.store.getSnapshot();
    const iterator = db.store.newIterator({ snapshot });
    db.put("foo", "new");
    db.flush();
    expect(db.runFiles.length).toBe(2);
    expect(db.get("foo", snapshot)).toBe("old");
    db.store.releaseSnapshot(snapshot);
    db.workers.settle();
    expect(db.runFiles.length).toBe(2);
    iterator.seek(toUtf8(""));
    expect(at(iterator)).toBe("foo=old");
    iterator.close();
    iterator.close();
    db.workers.settle();
    expect(db.runFiles.length).toBe(1);
    expect(db.tables.openCount).toBe(1);
    expect(db.get("foo")).toBe("new");
  });

  test("a released snapshot cannot be read or released again", () => {
    const db = new TextStore();
    const snapshot = db.store.getSnapshot();
    db.store.releaseSnapshot(snapshot);
    expect(() => db.get("foo", snapshot)).toThrow(AssertionError);
    expect(() => db.store.newIterator({ snapshot })).toThrow(AssertionError);
    expect(() => db.store.releaseSnapshot(snapshot)).toThrow(AssertionError);
  });
});

describe("iterators", () => {
  test("over nothing", () => {
    const iterator = new TextStore().store.newIterator();
    expect(iterator.valid()).toBe(false);
    iterator.seekToFirst();
    expect(at(iterator)).toBe("(invalid)");
    iterator.seekToLast();
    expect(at(iterator)).toBe("(invalid)");
    iterator.seek(toUtf8("foo"));
    expect(at(iterator)).toBe("(invalid)");
  });

  test("over one pair: both ends are next to it", () => {
    const db = new TextStore();
    db.put("a", "va");
    const iterator = db.store.newIterator();
    const steps: [() => void, string][] = [
      [() => iterator.seekToFirst(), "a=va"],
      [() => iterator.next(), "(invalid)"],
      [() => iterator.seekToFirst(), "a=va"],
      [() => iterator.prev(), "(invalid)"],
      [() => iterator.seekToLast(), "a=va"],
      [() => iterator.next(), "(invalid)"],
      [() => iterator.seek(toUtf8("")), "a=va"],
      [() => iterator.seek(toUtf8("a")), "a=va"],
      [() => iterator.seek(toUtf8("b")), "(invalid)"],
    ];
    for (const [step, expected] of steps) {
      step();
      expect(at(iterator)).toBe(expected);
    }
  });

  test("over several pairs in several layers, with turns, while the store changes below", () => {
    const db = new TextStore({ runsMax: 2 });
    db.put("c", "vc");
    db.flush();
    db.put("a", "va");
    db.flush();
    db.put("b", "vb");
    const iterator = db.store.newIterator();
    db.put("a", "VA");
    db.put("a2", "new");
    db.delete("b");
    db.flush();
    db.flush();
    const steps: [() => void, string][] = [
      [() => iterator.seekToFirst(), "a=va"],
      [() => iterator.next(), "b=vb"],
      [() => iterator.prev(), "a=va"],
      [() => iterator.next(), "b=vb"],
      [() => iterator.next(), "c=vc"],
      [() => iterator.prev(), "b=vb"],
      [() => iterator.next(), "c=vc"],
      [() => iterator.next(), "(invalid)"],
      [() => iterator.seekToLast(), "c=vc"],
      [() => iterator.prev(), "b=vb"],
      [() => iterator.prev(), "a=va"],
      [() => iterator.next(), "b=vb"],
      [() => iterator.prev(), "a=va"],
      [() => iterator.prev(), "(invalid)"],
      [() => iterator.seek(toUtf8("ax")), "b=vb"],
    ];
    for (const [step, expected] of steps) {
      step();
      expect(at(iterator)).toBe(expected);
    }
    iterator.close();
    expect(db.all()).toBe("a=VA a2=new c=vc");
  });

  test("skips what is deleted, with tombstones in memory, in runs and merged away", () => {
    const db = new TextStore();
    for (const key of ["a", "b", "c", "d"]) db.put(key, `v${key}`);
    db.delete("b");
    expect(db.all()).toBe("a=va c=vc d=vd");
    db.flush();
    db.delete("d");
    expect(db.all()).toBe("a=va c=vc");
    db.flush();
    const iterator = db.store.newIterator();
    iterator.seekToLast();
    expect(at(iterator)).toBe("c=vc");
    iterator.prev();
    iterator.prev();
    expect(at(iterator)).toBe("(invalid)");
    for (const key of ["a", "c"]) db.delete(key);
    db.flush();
    db.put("z", "1");
    db.flush();
    expect(db.all()).toBe("z=1");
  });

  test("over small and large values, more than a page of them, both ways", () => {
    const db = new TextStore();
    const keys = Array.from({ length: 300 }, (_, place) => String(place).padStart(4, "0"));
    for (const key of keys) db.put(key, key.repeat(Number(key) % 97 === 0 ? 50_000 : 1));
    db.flush();
    const iterator = db.store.newIterator();
    const forward: string[] = [];
    for (iterator.seekToFirst(); iterator.valid(); iterator.next()) {
      forward.push(fromUtf8(iterator.key()));
      expect(iterator.value().length).toBe(Number(forward.at(-1)) % 97 === 0 ? 200_000 : 4);
    }
    expect(forward).toEqual(keys);
    const backward: string[] = [];
    for (iterator.seekToLast(); iterator.valid(); iterator.prev()) backward.push(fromUtf8(iterator.key()));
    expect(backward).toEqual(keys.toReversed());
  });

  test("must be valid to be moved or read", () => {
    const iterator = new TextStore().store.newIterator();
    for (const use of [
      () => iterator.next(),
      () => iterator.prev(),
      () => iterator.key(),
      () => iterator.value(),
    ])
      expect(use).toThrow(AssertionError);
  });
});
