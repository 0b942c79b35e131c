import { expect, test } from "bun:test";
import { WriteBatch } from "../../src/leveldb/write-batch.ts";
import { toUtf8 } from "../../src/lib/bytes.ts";

const [a, b, c] = [toUtf8("a"), toUtf8("b"), toUtf8("c")];

test("an empty batch has no operations", () => {
  expect(new WriteBatch().count).toBe(0);
  expect(new WriteBatch().operations()).toEqual([]);
});

test("operations keep their order", () => {
  const batch = new WriteBatch();
  batch.put(a, b);
  batch.delete(c);
  batch.put(a, c);
  expect(batch.count).toBe(3);
  expect(batch.operations()).toEqual([
    { kind: "put", key: a, value: b },
    { kind: "delete", key: c },
    { kind: "put", key: a, value: c },
  ]);
});

test("append adds the other's operations and leaves the other alone, also to itself", () => {
  const batch = new WriteBatch();
  const other = new WriteBatch();
  batch.append(other);
  expect(batch.count).toBe(0);
  other.put(a, b);
  batch.append(other);
  batch.append(batch);
  expect(batch.operations()).toEqual([...other.operations(), ...other.operations()]);
  expect(other.count).toBe(1);
});

test("the approximate size grows with every operation, and clear forgets them all", () => {
  const batch = new WriteBatch();
  const empty = batch.approximateSize;
  batch.put(a, toUtf8("a long value"));
  const one = batch.approximateSize;
  expect(one).toBeGreaterThanOrEqual(empty + 13);
  batch.delete(b);
  expect(batch.approximateSize).toBeGreaterThan(one);
  batch.clear();
  expect(batch.approximateSize).toBe(empty);
  expect(batch.count).toBe(0);
});
