import { expect, test } from "bun:test";
import { Memtable } from "../../src/leveldb/memtable.ts";
import { fromUtf8, toUtf8 } from "../../src/lib/bytes.ts";
import { eachSeed } from "./seed.ts";

const key = toUtf8("key");

function write(memtable: Memtable, name: string, sequence: number, value?: string): void {
  memtable.beginWrite();
  if (value === undefined) memtable.delete(toUtf8(name), sequence);
  else memtable.put(toUtf8(name), toUtf8(value), sequence);
}

/** How many versions of the key are still there, and reachable for a view of any age. */
function versions(memtable: Memtable): number {
  let count = 0;
  for (let version = memtable.newest(key); version !== undefined; version = version.older) count++;
  return count;
}

test("values are copied: the caller may reuse its buffers", () => {
  const memtable = new Memtable();
  const [name, value] = [toUtf8("name"), toUtf8("value")];
  memtable.beginWrite();
  memtable.put(name, value, 1);
  name.fill(0);
  value.fill(0);
  expect(memtable.newest(toUtf8("name"))?.value()).toEqual(toUtf8("value"));
});

test("a value that was read stays what it was when the key is written again", () => {
  const memtable = new Memtable();
  write(memtable, "key", 1, "one");
  const value = memtable.newest(key)!.value();
  write(memtable, "key", 2, "two");
  expect(fromUtf8(value)).toBe("one");
});

test("an overwritten version is dropped at once when no view sees it", () => {
  const memtable = new Memtable();
  for (let sequence = 1; sequence <= 100; sequence++) write(memtable, "key", sequence, "v");
  expect(versions(memtable)).toBe(1);
  expect(memtable.newest(key)).toMatchObject({ created: 1, count: 100, sequence: 100 });
});

test("an overwritten version stays for as long as a view sees it, and no other with it", () => {
  const memtable = new Memtable();
  write(memtable, "key", 1, "one");
  const first = memtable.pin();
  for (let sequence = 2; sequence <= 50; sequence++) write(memtable, "key", sequence, "between");
  const second = memtable.pin();
  const third = memtable.pin();
  for (let sequence = 51; sequence <= 100; sequence++) write(memtable, "key", sequence, "after");
  expect(versions(memtable)).toBe(3);
  expect(memtable.visible(key, first)).toMatchObject({ sequence: 1, count: 1 });
  expect(memtable.visible(key, second)).toMatchObject({ sequence: 50, count: 50 });
  memtable.unpin(second);
  write(memtable, "key", 101, "after");
  expect(versions(memtable)).toBe(3);
  memtable.unpin(third);
  memtable.unpin(first);
  write(memtable, "key", 102, "after");
  expect(versions(memtable)).toBe(1);
  expect(memtable.newest(key)).toMatchObject({ created: 1, count: 102 });
});

test("a view is not touched by a later write at its own sequence number", () => {
  const memtable = new Memtable();
  write(memtable, "key", 5, "before");
  const stamp = memtable.pin();
  write(memtable, "key", 5, "after");
  expect(fromUtf8(memtable.visible(key, stamp)!.value())).toBe("before");
  expect(memtable.newest(key)).toMatchObject({ created: 5, count: 1 });
});

test("memory in use grows with what is written", () => {
  const memtable = new Memtable();
  const empty = memtable.bytes;
  memtable.beginWrite();
  memtable.put(key, new Uint8Array(1_000_000), 1);
  expect(memtable.bytes).toBeGreaterThanOrEqual(empty + 1_000_000);
  const before = memtable.bytes;
  write(memtable, "other", 2);
  expect(memtable.bytes).toBeGreaterThan(before);
});

test("the order is right however often it is asked for between puts", () => {
  eachSeed(20, (prng, seed) => {
    const memtable = new Memtable();
    const names = new Set<string>();
    for (let round = 0; round < 30; round++) {
      for (let puts = prng.pick([0, 1, 1, 2, 40]); puts > 0; puts--) {
        const name = String.fromCharCode(prng.int(0, 255), prng.int(0, 255));
        names.add(name);
        memtable.beginWrite();
        memtable.put(
          Uint8Array.from(name, (character) => character.charCodeAt(0)),
          key,
          round,
        );
      }
      const found = Array.from(memtable.rows(), (row) => String.fromCharCode(...row.key));
      expect(found, `SEED=${seed}`).toEqual([...names].sort());
    }
  });
});

test("a cursor keeps its place while other cursors bring new keys into order before and behind it", () => {
  const memtable = new Memtable();
  for (const name of ["b", "d", "f"]) write(memtable, name, 1, name);
  const cursor = memtable.cursor(memtable.pin());
  cursor.seek(toUtf8("d"));
  for (const name of ["a", "c", "e", "g"]) write(memtable, name, 2, name);
  const all = memtable.cursor(memtable.pin());
  cursor.next();
  expect(fromUtf8(cursor.key)).toBe("f");
  write(memtable, "aa", 3, "aa");
  memtable.cursor(memtable.pin());
  cursor.prev();
  cursor.prev();
  expect(fromUtf8(cursor.key)).toBe("b");
  cursor.prev();
  expect(cursor.isValid).toBe(false);
  const seen: string[] = [];
  for (all.seekToFirst(); all.isValid; all.next()) seen.push(fromUtf8(all.key));
  expect(seen).toEqual(["a", "b", "c", "d", "e", "f", "g"]);
});
