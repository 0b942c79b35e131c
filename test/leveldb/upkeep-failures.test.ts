/** A disk that fails: it is said once, nothing more is tried, and what was there is still read. */
import { describe, expect, test } from "bun:test";
import { toUtf8 } from "../../src/lib/bytes.ts";
import { KvraftError } from "../../src/lib/error.ts";
import { failureOf, folder, TextStore } from "./text-store.ts";
import { keyOf, type TwinStore, unmergedStore } from "./twin-store.ts";

const full = new KvraftError("NO_SPACE", "Cannot write: the disk is full");

/** Fails once, in the given step of the disk from now on. Returns what it was, once it has happened. */
function failAt(db: TextStore, step: number): () => string | undefined {
  let [steps, failed] = [0, undefined as string | undefined];
  db.disk.beforeStep = (action, path) => {
    if (++steps !== step) return;
    failed = `${action} ${path}`;
    throw full;
  };
  return () => failed;
}

/** Every use of the store that should make something durable says what the matter is. */
function expectBroken(twin: TwinStore, where: string): void {
  const { db } = twin;
  const expected = [full.code, full.message];
  for (const use of [
    () => db.seal(),
    () => db.store.flushSealed(),
    () => db.flushOnly(),
    () => db.store.compactRange(),
  ]) {
    const failure = failureOf(use);
    expect([failure.code, failure.message], where).toEqual(expected);
  }
  db.workers.settle();
  expect(
    db.failures.map(({ code, message }) => [code, message]),
    where,
  ).toEqual([expected]);
  expect(db.store.failure, where).toBe(db.failures[0]!);
}

describe("a step of the disk that fails", () => {
  test("in a flush or a merge, whichever it is, leaves a store that is read as before and opens with whole flushes", () => {
    const stories = new Set<string>();
    for (let step = 1; ; step++) {
      const twin = unmergedStore(5, 300);
      const { db } = twin;
      const stored = twin.all();
      const failed = failAt(db, step);
      twin.put(keyOf(7), "in memory");
      twin.delete(keyOf(8));
      db.seal();
      const flushed = twin.all();
      db.workers.settle();
      db.disk.beforeStep = undefined;
      const what = failed();
      if (what === undefined) break;
      const where = `step ${step}: ${what}`;
      twin.check(where);
      if (what.startsWith("remove")) {
        // Nobody needs the file: it is not worth a failure, and the next open tries again.
        expect(db.failures, where).toEqual([]);
        expect(db.lines, where).toContain(full.message);
      } else {
        twin.put("later", "also in memory");
        expectBroken(twin, where);
        twin.check(where);
      }
      stories.add(what.replace(/\d+/, "N"));
      const applied = db.store.applied.index;
      db.reopen();
      const now = db.store.applied.index;
      expect([applied, 6], where).toContain(now);
      expect(db.all(), where).toBe(now === 6 ? flushed : stored);
      db.store.compactRange();
      expect(db.all(), where).toBe(now === 6 ? flushed : stored);
      expect(db.failures.length).toBe(what.startsWith("remove") ? 0 : 1);
    }
    expect([...stories].sort()).toEqual([
      `create ${folder}/MANIFEST.new`,
      `create ${folder}/N.run`,
      `remove ${folder}/N.run`,
      `rename ${folder}/MANIFEST.new`,
      `sync ${folder}/MANIFEST.new`,
      `sync ${folder}/N.run`,
      `sync the folder ${folder}`,
      `write ${folder}/MANIFEST.new`,
      `write ${folder}/N.run`,
    ]);
  });

  test("leaves nothing open, no file that was not finished, and every one that a MANIFEST may name", () => {
    for (let step = 1; ; step++) {
      const { db } = unmergedStore(5, 300);
      const failed = failAt(db, step);
      db.store.rest(true);
      db.workers.settle();
      db.disk.beforeStep = undefined;
      const what = failed();
      if (what === undefined || what.startsWith("remove")) break;
      expect(db.failures.length).toBe(1);
      db.store.close();
      expect(db.tables.openCount).toBe(0);
      expect(db.runFiles.length, what).toBeGreaterThanOrEqual(5);
      if (what.endsWith(".run")) expect(db.runFiles.length, what).toBe(5);
    }
  });
});

test("a run that cannot be opened when it is installed is a failure, too, and what is in memory is still read", () => {
  const db = new TextStore();
  db.put("a", "1");
  const open = db.tables.open.bind(db.tables);
  db.tables.open = () => {
    throw full;
  };
  db.seal();
  db.workers.settle();
  db.tables.open = open;
  expect([db.failures.length, db.store.isSealed]).toEqual([1, true]);
  expect(db.get("a")).toBe("1");
  expect(failureOf(() => db.seal()).message).toBe(full.message);
  db.reopen();
  expect(db.all()).toBe("a=1");
});

test("with autoFlush a write says that the disk has failed instead of waiting for ever, and the store can be closed", () => {
  const db = new TextStore({ autoFlush: true, memtableBytesMax: 5000 });
  db.put("a", "1");
  db.disk.beforeStep = () => {
    throw full;
  };
  const failure = failureOf(() => {
    for (let place = 0; place < 100; place++) db.put(keyOf(place), "x".repeat(1000));
  });
  expect([failure.code, failure.message]).toEqual([full.code, full.message]);
  expect(db.store.get(toUtf8("a"))).toEqual(toUtf8("1"));
  db.store.close();
  db.disk.beforeStep = undefined;
  db.store = db.open();
  expect(db.all()).toBe("");
});
