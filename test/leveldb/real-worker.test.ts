/** The store on real files with its worker in a real thread: what the other tests show in one thread holds in two. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { realEnv } from "../../src/env/real-env.ts";
import { checkStore } from "../../src/leveldb/check-store.ts";
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

test("the state of one store goes into another beside the event loop, chunk by chunk, and both are whole afterwards", async () => {
  const options = { createIfMissing: true, memtableBytesMax: 200_000, tableBytesMax: 50_000 };
  const source = LevelDB.open(env, join(root, "source"), options);
  const target = LevelDB.open(env, join(root, "target"), options);
  const put = (store: LevelDB, place: number, value: string) =>
    store.put(toUtf8(keyOf(place)), toUtf8(value));
  for (let place = 0; place < 9000; place++) put(source, place, `${place} ${"x".repeat(place % 300)}`);
  for (let place = 0; place < 9000; place += 3) source.delete(toUtf8(keyOf(place)));
  source.flush({ index: 9, term: 2 });
  for (let place = 0; place < 500; place++) put(target, place, "old");
  target.flush({ index: 1, term: 1 });
  const snapshot = target.getSnapshot();
  const scan = source.scanDurable();
  const told: string[] = [];
  let [bytesOnTheWay, bytesTaken, chunks] = [0, 0, 0];
  const install = target.beginInstall({
    consumed: (bytes) => {
      bytesOnTheWay -= bytes;
      bytesTaken += bytes;
    },
    installed: () => told.push("installed"),
    refused: ({ message }) => told.push(message),
  });
  for (let chunk = scan.read(20_000); chunk !== undefined; chunk = scan.read(20_000)) {
    await until(() => bytesOnTheWay < 50_000);
    bytesOnTheWay += chunk.length;
    install.add(chunk);
    // The target goes on meanwhile, and so does the source.
    put(target, chunks, "old, too");
    put(source, chunks, "too late");
    if (++chunks % 10 === 0) target.seal({ index: 1 + chunks / 10, term: 1 });
    if (chunks % 10 === 0) await until(() => !target.isSealed);
  }
  put(target, 1, "in memory");
  target.seal({ index: 8, term: 1 });
  const { sequence, applied } = scan;
  install.finish({ sequence, applied });
  expect(text(target.get(toUtf8(keyOf(1))))).toBe("in memory");
  await until(() => told.length > 0);
  expect([told, bytesOnTheWay]).toEqual([["installed"], 0]);
  expect(chunks).toBeGreaterThan(50);
  expect(bytesTaken).toBeLessThan(scan.bytes);
  scan.close();
  const check = (store: LevelDB) => {
    expect([store.sequence, store.applied, store.logStart]).toEqual([sequence, applied, applied]);
    for (let place = 0; place < 9000; place++) {
      const value = place % 3 === 0 ? undefined : `${place} ${"x".repeat(place % 300)}`;
      expect(text(store.get(toUtf8(keyOf(place))))).toBe(value);
    }
  };
  check(target);
  expect(text(target.get(toUtf8(keyOf(0)), { snapshot }))).toBe("old");
  target.releaseSnapshot(snapshot);
  await until(() => runFiles(join(root, "target")).length === Number(target.getProperty("kvraft.files")));
  target.close();
  source.close();
  const again = LevelDB.open(env, join(root, "target"), options);
  check(again);
  again.close();
  const examination = checkStore(env, join(root, "target"));
  let next = examination.next();
  while (next.done !== true) next = examination.next();
  expect(next.value).toMatchObject({ findings: [], leftovers: [], strangers: [] });
  expect(next.value.store).toMatchObject({ runs: 1, rows: 6000, sequence, applied, logStart: applied });
});

test("an install that is given up or refused leaves no file, also of those that nobody has been told of", async () => {
  const folder = join(root, "given up");
  const store = LevelDB.open(env, folder, { createIfMissing: true, tableBytesMax: 10_000 });
  for (let place = 0; place < 2000; place++) store.put(toUtf8(keyOf(place)), toUtf8("x".repeat(100)));
  store.flush({ index: 1, term: 1 });
  const scan = store.scanDurable();
  const chunk = scan.read(60_000)!;
  scan.close();
  const files = runFiles(folder).length;
  let isRefused = false;
  const begin = () =>
    store.beginInstall({ consumed: () => {}, installed: () => {}, refused: () => (isRefused = true) });
  const isTidy = () => runFiles(folder).length === files;
  const built = () => runFiles(folder).length > files + 2;
  const install = begin();
  install.add(chunk);
  // Its reports wait for a turn of the event loop.
  while (!built()) Bun.sleepSync(5);
  install.abandon();
  await until(isTidy);
  const other = begin();
  other.add(chunk);
  other.add(chunk);
  await until(() => isRefused);
  await until(isTidy);
  expect(Number(store.getProperty("kvraft.files"))).toBe(files);
  store.close();
});

function runFiles(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.endsWith(".run"));
}
