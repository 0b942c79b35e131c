/** The memory of a memtable is used again when nobody can see it any more, and never before. */
import { expect, test } from "bun:test";
import { Memtable, MemtablePool } from "../../src/leveldb/memtable.ts";
import { MemtableCursor } from "../../src/leveldb/memtable-cursor.ts";
import { decodeRecord } from "../../src/leveldb/record.ts";
import { fromUtf8, toUtf8 } from "../../src/lib/bytes.ts";
import { TextStore } from "./text-store.ts";

const mebibyte = 1024 * 1024;
/** More than a chunk of them, and more than a slab of leaves, whatever their order. */
const keys = 25_000;

function keyOf(place: number): string {
  return `key ${String((place * 7919) % keys).padStart(6, "0")}`;
}

function textOf(place: number, round: number): string {
  return `${place} in round ${round} ${"x".repeat(60)}`;
}

function filled(pool: MemtablePool, round: number): Memtable {
  const memtable = new Memtable(pool, false);
  memtable.beginWrite();
  for (let place = 0; place < keys; place++)
    memtable.put(toUtf8(keyOf(place)), toUtf8(textOf(place, round)), round);
  return memtable;
}

/** What a memtable consists of that another one may be made of, but for its small first parts. */
function memoryOf(memtable: Memtable): Set<SharedArrayBuffer> {
  const { chunks, index } = memtable.parts();
  return new Set([...chunks.slice(1), ...index.slabs.slice(1)]);
}

test("the memory of a memtable that has gone is used by the next one, and a gone memtable cannot reach it", () => {
  const pool = new MemtablePool(16 * mebibyte);
  const first = filled(pool, 1);
  const memory = memoryOf(first);
  expect(memory.size).toBeGreaterThan(3);
  const cursor = new MemtableCursor(first, first.pin(), Infinity);
  cursor.seek(toUtf8(keyOf(1)));
  first.done();
  first.unpin(1);
  const second = filled(pool, 2);
  expect(memoryOf(second).symmetricDifference(memory).size).toBe(0);
  expect(memoryOf(first).size).toBe(0);
  expect(() => cursor.next()).toThrow();
  expect(() => first.find(toUtf8(keyOf(1)))).toThrow();
});

test("memory that a view can see is not used again before the last one is released", () => {
  const pool = new MemtablePool(16 * mebibyte);
  const first = filled(pool, 1);
  const stamp = first.pin();
  first.pinAgain(stamp);
  const cursor = new MemtableCursor(first, stamp, Infinity);
  cursor.seekToFirst();
  first.done();
  first.unpin(stamp);
  const second = filled(pool, 2);
  expect(memoryOf(second).isDisjointFrom(memoryOf(first))).toBe(true);
  let count = 0;
  for (; cursor.isValid; cursor.next()) {
    if (!fromUtf8(cursor.value()).includes(" in round 1 ")) break;
    count++;
  }
  expect(count).toBe(keys);
  for (let place = 0; place < keys; place += 100) {
    const record = first.record(first.find(toUtf8(keyOf(place)), stamp));
    expect(fromUtf8(decodeRecord(record).value)).toBe(textOf(place, 1));
  }
  first.unpin(stamp);
  expect(memoryOf(filled(pool, 3)).isDisjointFrom(memoryOf(second))).toBe(true);
});

test("snapshots and iterators of a store see their own state while its memory goes round", () => {
  const db = new TextStore({ memtableBytesMax: 4 * mebibyte });
  const write = (round: number): void => {
    for (let place = 0; place < keys; place++) db.put(keyOf(place), textOf(place, round));
  };
  write(0);
  db.flush();
  write(1);
  const snapshot = db.store.getSnapshot();
  const iterator = db.store.newIterator();
  iterator.seekToFirst();
  for (let round = 2; round < 5; round++) {
    db.seal();
    write(round);
    db.flush();
    for (let steps = 0; steps < keys / 4; steps++, iterator.next())
      if (!fromUtf8(iterator.value()).includes(" in round 1 "))
        throw new Error(`Round ${round} shows through: "${fromUtf8(iterator.value())}"`);
  }
  for (let place = 0; place < keys; place += 100) {
    expect(db.get(keyOf(place), snapshot)).toBe(textOf(place, 1));
    expect(db.get(keyOf(place))).toBe(textOf(place, 4));
  }
  iterator.close();
  db.store.releaseSnapshot(snapshot);
  db.store.close();
});
