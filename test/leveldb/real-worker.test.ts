/** The store on real files with its worker in a real thread: what the other tests show in one thread holds in two. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { realEnv } from "../../src/env/real-env.ts";
import { LevelDB } from "../../src/leveldb/level-db.ts";
import { fromUtf8, toUtf8 } from "../../src/lib/bytes.ts";
import type { KvraftError } from "../../src/lib/error.ts";
import { text } from "./text-store.ts";
import { keyOf } from "./twin-store.ts";

const root = mkdtempSync(join(tmpdir(), "kvraft-worker-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const env = realEnv();

async function until(isDone: () => boolean): Promise<void> {
  for (let tries = 0; tries < 1000; tries++) {
    if (isDone()) return;
    await Bun.sleep(10);
  }
  throw new Error("the worker has not come to its end in ten seconds");
}

test("memtables are stored and merged beside the event loop, while they are read, and all is there after a reopen", async () => {
  const folder = join(root, "store");
  const lines: string[] = [];
  const options = { memtableBytesMax: 200_000, runsMax: 4, report: (line: string) => lines.push(line) };
  const store = LevelDB.open(env, folder, { createIfMissing: true, ...options });
  const values = new Map<string, string>();
  const snapshots = [];
  for (let round = 0; round < 12; round++) {
    for (let place = round; place < 3000; place += round + 1) {
      const value = `${round} of ${place} ${"x".repeat(40)}`;
      store.put(toUtf8(keyOf(place)), toUtf8(value));
      values.set(keyOf(place), value);
    }
    for (let place = 5 * round; place < 3000; place += 101) {
      store.delete(toUtf8(keyOf(place)));
      values.delete(keyOf(place));
    }
    snapshots.push({ snapshot: store.getSnapshot(), value: values.get(keyOf(100)) });
    await until(() => store.canSeal);
    store.seal({ index: round + 1, term: 1 });
    for (const { snapshot, value } of snapshots)
      expect(text(store.get(toUtf8(keyOf(100)), { snapshot }))).toBe(value);
  }
  await until(() => !store.isSealed);
  expect(store.applied.index).toBe(12);
  for (const { snapshot, value } of snapshots) {
    expect(text(store.get(toUtf8(keyOf(100)), { snapshot }))).toBe(value);
    store.releaseSnapshot(snapshot);
  }
  store.compactRange();
  expect(lines.some((line) => line.startsWith("Merged "))).toBe(true);
  expect(store.getProperty("kvraft.runs")).toBe("1");
  const check = (db: LevelDB) => {
    const found = new Map<string, string>();
    const iterator = db.newIterator();
    for (iterator.seekToFirst(); iterator.valid(); iterator.next())
      found.set(fromUtf8(iterator.key()), fromUtf8(iterator.value()));
    iterator.close();
    expect([...found]).toEqual([...values].sort(([a], [b]) => (a < b ? -1 : 1)));
  };
  check(store);
  await until(() => runFiles(folder).length === Number(store.getProperty("kvraft.files")));
  store.close();
  const again = LevelDB.open(env, folder, options);
  check(again);
  again.close();
});

test("a store that flushes by itself takes writes faster than they are stored, within bounds, and keeps them all", () => {
  const folder = join(root, "auto");
  const options = { createIfMissing: true, autoFlush: true, memtableBytesMax: 50_000 };
  const store = LevelDB.open(env, folder, options);
  for (let place = 0; place < 5000; place++) {
    store.put(toUtf8(keyOf(place)), toUtf8("x".repeat(100)));
    if (place % 100 === 0)
      expect(Number(store.getProperty("kvraft.sealed-memtables"))).toBeLessThanOrEqual(2);
  }
  store.close();
  const again = LevelDB.open(env, folder, options);
  for (let place = 0; place < 5000; place++) expect(again.get(toUtf8(keyOf(place)))?.length).toBe(100);
  again.close();
});

test("a disk that fails the worker is told to the owner once, in a turn of its own, and by every later flush", async () => {
  const folder = join(root, "gone");
  const failures: KvraftError[] = [];
  const store = LevelDB.open(env, folder, { createIfMissing: true, failed: (error) => failures.push(error) });
  store.put(toUtf8("a"), toUtf8("1"));
  store.flush({ index: 1, term: 1 });
  renameSync(folder, `${folder} elsewhere`);
  store.put(toUtf8("b"), toUtf8("2"));
  store.seal({ index: 2, term: 1 });
  expect(failures).toEqual([]);
  await until(() => failures.length > 0);
  expect(failures[0]?.code).toBe("IO_ERROR");
  expect(failures[0]?.message).toContain(`run "${folder}/`);
  expect(store.failure).toBe(failures[0]!);
  for (const use of [
    () => store.flushSealed(),
    () => store.flush({ index: 3, term: 1 }),
    () => store.compactRange(),
  ])
    expect(use).toThrow(failures[0]!);
  expect([store.get(toUtf8("a")), store.get(toUtf8("b"))].map(text)).toEqual(["1", "2"]);
  store.close();
  renameSync(`${folder} elsewhere`, folder);
  const again = LevelDB.open(env, folder);
  expect(again.applied.index).toBe(1);
  expect([again.get(toUtf8("a")), again.get(toUtf8("b"))].map(text)).toEqual(["1", undefined]);
  expect(failures.length).toBe(1);
  again.close();
});

function runFiles(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.endsWith(".run"));
}
