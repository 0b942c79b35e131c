import { expect, test } from "bun:test";
import { checkBlock, openBlock, RowBlock, RowPointer, sealBlock } from "../../src/leveldb/block.ts";
import { emptyBytes, fromHex, fromUtf8, toHex, toUtf8 } from "../../src/lib/bytes.ts";
import { DecodeError } from "../../src/lib/codec.ts";
import { RunFiles, tombstone } from "./rows.ts";
import { eachSeed } from "./seed.ts";

/** The worked example of the grammar. */
const example = fromHex("0701026b0103" + "00000000" + "01000000" + "8ef5c56a")!;

function sealed(payload: Uint8Array, file: number, block: number): Uint8Array {
  const bytes = new Uint8Array(payload.length + 4);
  bytes.set(payload);
  sealBlock(bytes, payload.length, file, block);
  return bytes;
}

test("the worked example of the grammar is what is written, and reads as it says", () => {
  const files = new RunFiles();
  const file = files.build([tombstone("k", 7)]);
  expect(file.number).toBe(1);
  const table = files.tables.open("store/000001.run");
  expect(toHex(table.block(0))).toBe(toHex(example));
  table.close();
  checkBlock(example, 1, 0);
  const block = new RowBlock(example);
  const pointer = new RowPointer(emptyBytes);
  pointer.load(block, 0);
  expect([block.count, pointer.sequence, fromUtf8(pointer.key()), toHex(pointer.record())]).toEqual([
    1,
    7,
    "k",
    "0103",
  ]);
});

test("a block is good only as it is, and in its own place of its own file", () => {
  eachSeed(20, (prng) => {
    const payload = new Uint8Array(prng.int(0, 300)).map(() => prng.int(0, 255));
    const [file, block] = [prng.int(1, 2 ** 31), prng.int(0, 5000)];
    const bytes = sealed(payload, file, block);
    expect(openBlock(bytes, file, block)).toEqual(payload);
    for (const [otherFile, otherBlock] of [
      [file + 1, block],
      [file, block + 1],
      [block, file],
    ] as const)
      expect(() => checkBlock(bytes, otherFile, otherBlock)).toThrow(DecodeError);
    for (let bit = 0; bit < bytes.length * 8; bit += prng.int(1, 7)) {
      const bad = bytes.slice();
      bad[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => checkBlock(bad, file, block)).toThrow(DecodeError);
    }
    for (const bad of [bytes.slice(0, -1), new Uint8Array([...bytes, 0]), bytes.slice(1)])
      expect(() => checkBlock(bad, file, block)).toThrow(DecodeError);
  });
  expect(() => checkBlock(new Uint8Array(3), 1, 0)).toThrow("block 0 has 3 bytes");
  expect(() => checkBlock(new Uint8Array(4096), 1, 0)).toThrow("the checksum of block 0 does not match");
});

test("rows that make no sense are a DecodeError, never a read outside of the block", () => {
  for (const hex of [
    "", // No count.
    "00000000", // No rows.
    "ffffffff", // More rows than bytes.
    "0000000002000000", // An offset is missing.
  ])
    expect(() => new RowBlock(sealed(fromHex(hex)!, 1, 0)), hex).toThrow(DecodeError);
  for (const hex of [
    "0705026b0103" + "00000000" + "01000000", // The key is longer than the rows.
    "0701096b0103" + "00000000" + "01000000", // The record is.
    "ffffffffffffffffff01" + "00000000" + "01000000", // No number.
    "0701026b0103" + "ff000000" + "01000000", // The row begins elsewhere.
  ]) {
    const block = new RowBlock(sealed(fromHex(hex)!, 1, 0));
    expect(() => new RowPointer(emptyBytes).load(block, 0), hex).toThrow(DecodeError);
  }
});

test("a pointer compares its key as bytes are compared, the shorter one first", () => {
  const files = new RunFiles();
  files.build([tombstone("key", 1)]);
  const pointer = new RowPointer(emptyBytes);
  pointer.load(new RowBlock(files.tables.open("store/000001.run").block(0)), 0);
  const order = ["", "k", "ke", "kex", "key", "key\0", "kf", "\u{ff}"].map((key) =>
    Math.sign(pointer.compareKey(toUtf8(key))),
  );
  expect(order).toEqual([1, 1, 1, 1, 0, -1, -1, -1]);
});
