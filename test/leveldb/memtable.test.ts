import { expect, test } from "bun:test";
import { Memtable, MemtablePool } from "../../src/leveldb/memtable.ts";
import { MemtableCursor } from "../../src/leveldb/memtable-cursor.ts";
import { EntryMemory } from "../../src/leveldb/memtable-entry.ts";
import { decodeRecord } from "../../src/leveldb/record.ts";
import { MemtableSource } from "../../src/leveldb/row-source.ts";
import { AssertionError } from "../../src/lib/assert.ts";
import { type Bytes, fromUtf8, toUtf8 } from "../../src/lib/bytes.ts";

const key = toUtf8("key");

function newMemtable(keepsHistory = false, pool = new MemtablePool(0)): Memtable {
  return new Memtable(pool, keepsHistory);
}

function write(memtable: Memtable, name: string, sequence: number, value?: string): void {
  memtable.beginWrite();
  if (value === undefined) memtable.delete(toUtf8(name), sequence);
  else memtable.put(toUtf8(name), toUtf8(value), sequence);
}

/** How many versions a flush would find. */
function versions(memtable: Memtable): number {
  const parts = memtable.parts();
  const chunks = parts.chunks.map((chunk) => new Uint8Array(chunk));
  const words = parts.chunks.map((chunk) => new Uint32Array(chunk));
  const source = new MemtableSource(parts, new EntryMemory(chunks, words));
  let count = 0;
  for (; source.isValid; source.advance()) count++;
  return count;
}

function versionOf(memtable: Memtable, name: Bytes, stamp?: number, bound?: number) {
  const address = memtable.find(name, stamp, bound);
  if (address === -1) return undefined;
  const { created, count, isTombstone, value } = decodeRecord(memtable.record(address));
  return { created, count, isTombstone, value, sequence: memtable.memory.sequence(address) };
}

test("keys and values are copied: the caller may reuse its buffers", () => {
  const memtable = newMemtable();
  const [name, value] = [toUtf8("name"), toUtf8("value")];
  memtable.beginWrite();
  memtable.put(name, value, 1);
  name.fill(0);
  value.fill(0);
  expect(versionOf(memtable, toUtf8("name"))?.value).toEqual(toUtf8("value"));
});

test("a value that was read stays what it was when the key is written again, and when the memory is", () => {
  const pool = new MemtablePool(4 * 1024 * 1024);
  const memtable = newMemtable(false, pool);
  memtable.beginWrite();
  memtable.put(toUtf8("fills the first chunk"), new Uint8Array(100_000), 1);
  write(memtable, "key", 1, "one");
  const record = memtable.record(memtable.find(key));
  const cursor = new MemtableCursor(memtable, memtable.pin(), Infinity);
  cursor.seek(key);
  const [name, value] = [cursor.key, cursor.value()];
  write(memtable, "key", 2, "two");
  memtable.done();
  memtable.unpin(2);
  const next = newMemtable(false, pool);
  for (let place = 0; place < 1000; place++) write(next, `${place}`, 1, "x".repeat(1000));
  expect(fromUtf8(decodeRecord(record).value)).toBe("one");
  expect([fromUtf8(name), fromUtf8(value)]).toEqual(["key", "one"]);
});

test("an overwritten version is dropped at once when no view sees it", () => {
  const memtable = newMemtable();
  for (let sequence = 1; sequence <= 100; sequence++) write(memtable, "key", sequence, "v");
  expect(versions(memtable)).toBe(1);
  expect(versionOf(memtable, key)).toMatchObject({ created: 1, count: 100, sequence: 100 });
});

test("an overwritten version stays for as long as a view sees it, and no other with it", () => {
  const memtable = newMemtable();
  write(memtable, "key", 1, "one");
  const first = memtable.pin();
  for (let sequence = 2; sequence <= 50; sequence++) write(memtable, "key", sequence, "between");
  const second = memtable.pin();
  const third = memtable.pin();
  for (let sequence = 51; sequence <= 100; sequence++) write(memtable, "key", sequence, "after");
  expect(versions(memtable)).toBe(3);
  expect(versionOf(memtable, key, first)).toMatchObject({ sequence: 1, count: 1 });
  expect(versionOf(memtable, key, second)).toMatchObject({ sequence: 50, count: 50 });
  memtable.unpin(second);
  memtable.pinAgain(third);
  memtable.unpin(third);
  write(memtable, "key", 101, "after");
  expect(versionOf(memtable, key, third)).toMatchObject({ sequence: 50, count: 50 });
  expect(versions(memtable)).toBe(3);
  memtable.unpin(third);
  memtable.unpin(first);
  write(memtable, "key", 102, "after");
  expect(versionOf(memtable, key)).toMatchObject({ created: 1, count: 102 });
  expect(() => memtable.unpin(first)).toThrow(AssertionError);
  expect(() => memtable.pinAgain(first)).toThrow(AssertionError);
});

test("with history every version stays, and is found by its sequence number", () => {
  const memtable = newMemtable(true);
  for (let sequence = 2; sequence <= 600; sequence += 2)
    write(memtable, "key", sequence, sequence % 10 === 0 ? undefined : String(sequence));
  expect(versions(memtable)).toBe(300);
  for (let sequence = 2; sequence <= 600; sequence++)
    expect(versionOf(memtable, key, undefined, sequence)?.sequence).toBe(sequence - (sequence % 2));
  expect(versionOf(memtable, key, undefined, 1)).toBeUndefined();
});

test("a view is not touched by a later write at its own sequence number", () => {
  const memtable = newMemtable();
  write(memtable, "key", 5, "before");
  const stamp = memtable.pin();
  write(memtable, "key", 5, "after");
  expect(fromUtf8(versionOf(memtable, key, stamp)!.value)).toBe("before");
  expect(versionOf(memtable, key)).toMatchObject({ created: 5, count: 1 });
});

test("a put after a deletion starts a new life, and sequence numbers of a key never go back", () => {
  const memtable = newMemtable();
  write(memtable, "key", 1, "one");
  write(memtable, "key", 5);
  expect(versionOf(memtable, key)).toMatchObject({ isTombstone: true, sequence: 5 });
  write(memtable, "key", 7, "two");
  expect(versionOf(memtable, key)).toMatchObject({ created: 7, count: 1 });
  expect(() => write(memtable, "key", 6, "three")).toThrow(AssertionError);
  expect(() => write(memtable, "key", 6)).toThrow(AssertionError);
});

test("sequence numbers up to the largest safe integer are kept", () => {
  const memtable = newMemtable();
  for (const sequence of [2 ** 32 - 1, 2 ** 32, 2 ** 40 + 3, Number.MAX_SAFE_INTEGER]) {
    write(memtable, "key", sequence, "v");
    expect(versionOf(memtable, key)?.sequence).toBe(sequence);
  }
});

test("memory in use grows with what is written, and a value of any size has a place", () => {
  const memtable = newMemtable();
  const sizes = [0, 1, 16_000, 16_385, 131_000, 131_072, 131_073, 1_048_576, 5_000_000, 1];
  for (const [place, size] of sizes.entries()) {
    const before = memtable.bytes;
    memtable.beginWrite();
    memtable.put(toUtf8(`key${place}`), new Uint8Array(size).fill(place), place);
    expect(memtable.bytes).toBeGreaterThanOrEqual(before + size);
  }
  for (const [place, size] of sizes.entries())
    expect(
      versionOf(memtable, toUtf8(`key${place}`))!.value.every((byte) => byte === place) &&
        versionOf(memtable, toUtf8(`key${place}`))!.value.length === size,
    ).toBe(true);
  expect(memtable.isCrowded).toBe(false);
});

test("memory is given back when the store needs it no more and no view does", () => {
  const memtable = newMemtable();
  write(memtable, "key", 1, "one");
  const stamp = memtable.pin();
  memtable.pinAgain(stamp);
  memtable.done();
  memtable.unpin(stamp);
  expect(memtable.parts().chunks.length).toBe(1);
  expect(versionOf(memtable, key, stamp)?.sequence).toBe(1);
  memtable.unpin(stamp);
  expect(memtable.parts().chunks.length).toBe(0);
});

test("a cursor keeps its place while keys come before and behind it, and versions under it", () => {
  const memtable = newMemtable();
  for (const name of ["b", "d", "f"]) write(memtable, name, 1, name);
  const cursor = new MemtableCursor(memtable, memtable.pin(), Infinity);
  cursor.seek(toUtf8("d"));
  for (const name of ["a", "c", "d", "e", "g"]) write(memtable, name, 2, `${name} again`);
  expect([fromUtf8(cursor.key), fromUtf8(cursor.value())]).toEqual(["d", "d"]);
  const all = new MemtableCursor(memtable, memtable.pin(), Infinity);
  cursor.next();
  expect(fromUtf8(cursor.key)).toBe("f");
  write(memtable, "aa", 3, "aa");
  cursor.prev();
  cursor.prev();
  expect(fromUtf8(cursor.key)).toBe("b");
  cursor.prev();
  expect(cursor.isValid).toBe(false);
  const seen: string[] = [];
  for (all.seekToFirst(); all.isValid; all.next()) seen.push(fromUtf8(all.key));
  expect(seen).toEqual(["a", "b", "c", "d", "e", "f", "g"]);
  expect(() => cursor.key).toThrow(AssertionError);
});
