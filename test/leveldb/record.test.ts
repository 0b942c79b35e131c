import { expect, test } from "bun:test";
import {
  completeInPlace,
  decodeRecord,
  encodeRecord,
  foldLife,
  isCompleteAt,
  isTombstoneAt,
  isTombstoneRecord,
  putHeaderBytes,
  type StoredRecord,
  tombstoneRecord,
  valueOfRecord,
  writePutHeader,
} from "../../src/leveldb/record.ts";
import { fromHex, toHex, toUtf8 } from "../../src/lib/bytes.ts";
import { DecodeError } from "../../src/lib/codec.ts";
import { eachSeed } from "./seed.ts";

const plain: StoredRecord = {
  isTombstone: false,
  isComplete: false,
  created: 300,
  count: 1,
  lease: 0,
  expiry: 0,
  value: toUtf8("hi"),
};

test("the worked examples of the grammar hold", () => {
  expect(toHex(encodeRecord(plain))).toBe("0100ac02016869");
  expect(toHex(tombstoneRecord)).toBe("0103");
});

test("what is encoded is decoded again, and the short cuts agree with the long way", () => {
  eachSeed(20, (prng) => {
    const record: StoredRecord = {
      isTombstone: false,
      isComplete: prng.chance(1, 2),
      created: prng.pick([1, 127, 128, 2 ** 31, 2 ** 40, Number.MAX_SAFE_INTEGER]),
      count: prng.pick([1, 127, 128, 2 ** 31]),
      lease: prng.pick([0, 0, 5, 2 ** 40]),
      expiry: prng.pick([0, 0, 1_700_000_000_000]),
      value: new Uint8Array(prng.pick([0, 1, 1000])).fill(0x85),
    };
    const bytes = encodeRecord(record);
    expect(decodeRecord(bytes)).toEqual(record);
    expect(valueOfRecord(bytes)).toEqual(record.value);
    expect(isTombstoneRecord(bytes)).toBe(false);
    const amid = new Uint8Array([9, 9, ...bytes]);
    expect([isTombstoneAt(amid, 2), isCompleteAt(amid, 2)]).toEqual([false, record.isComplete]);
    completeInPlace(amid, 2);
    expect(decodeRecord(amid.subarray(2))).toEqual({ ...record, isComplete: true });
  });
});

test("a tombstone has no value and is complete", () => {
  expect(valueOfRecord(tombstoneRecord)).toBeUndefined();
  expect(isTombstoneRecord(tombstoneRecord)).toBe(true);
  expect(isTombstoneAt(new Uint8Array([7, ...tombstoneRecord]), 1)).toBe(true);
  expect(decodeRecord(tombstoneRecord)).toMatchObject({ isTombstone: true, isComplete: true, count: 0 });
});

test("bytes that are no record are refused", () => {
  for (const hex of [
    "",
    "01",
    "0200ac020168",
    "0000ac020168",
    "0110ac020168",
    "0100ac",
    "0100ac02",
    "010300",
    "0104ac0201",
  ]) {
    const bytes = fromHex(hex)!;
    expect(() => decodeRecord(bytes), hex).toThrow(DecodeError);
  }
  expect(() => valueOfRecord(fromHex("0100ac")!)).toThrow(DecodeError);
});

test("a version on an older one inherits its life, on a tombstone or on nothing it starts its own", () => {
  const newer = { created: 8, count: 2, isComplete: false };
  const older = { created: 3, count: 4, isComplete: true, sequence: 6, isTombstone: false };
  expect(foldLife(newer, older)).toEqual({ created: 3, count: 6, isComplete: true });
  expect(foldLife(newer, { ...older, isComplete: false }).isComplete).toBe(false);
  expect(foldLife(newer, { ...older, isTombstone: true })).toEqual({
    created: 8,
    count: 2,
    isComplete: true,
  });
  expect(foldLife(newer, undefined)).toEqual({ created: 8, count: 2, isComplete: true });
  expect(foldLife({ ...newer, isComplete: true }, older)).toEqual({ created: 8, count: 2, isComplete: true });
});

test("two puts at one sequence number are one version, also when layers keep them apart", () => {
  const newer = { created: 6, count: 1, isComplete: false };
  const older = { created: 3, count: 4, isComplete: true, sequence: 6, isTombstone: false };
  expect(foldLife(newer, older)).toEqual({ created: 3, count: 4, isComplete: true });
});

test("a header written in place and the value behind it are the encoded record", () => {
  for (const created of [1, 127, 128, 16384, 2 ** 31, 2 ** 40, Number.MAX_SAFE_INTEGER])
    for (const isComplete of [false, true]) {
      const record = { ...plain, created, count: created, isComplete };
      const expected = encodeRecord(record);
      const bytes = new Uint8Array(expected.length + 3);
      const length = putHeaderBytes(record);
      writePutHeader(bytes, 3, record);
      bytes.set(record.value, 3 + length);
      expect(toHex(bytes.subarray(3))).toBe(toHex(expected));
    }
});
