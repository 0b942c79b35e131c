import { expect, test } from "bun:test";
import { BlockIndex, BlockIndexBuilder, separatorOf, sharedBytesOf } from "../../src/leveldb/block-index.ts";
import {
  type Bytes,
  compareBytes,
  equalBytes,
  fromHex,
  fromUtf8,
  toHex,
  toUtf8,
} from "../../src/lib/bytes.ts";
import { DecodeError } from "../../src/lib/codec.ts";
import { randomKey } from "./random-keys.ts";
import { eachSeed } from "./seed.ts";

test("a separator is as short as it can be", () => {
  const separator = (last: string, first: string) => fromUtf8(separatorOf(toUtf8(last), toUtf8(first)));
  expect(separator("apple", "cherry")).toBe("b");
  expect(separator("apple", "banana")).toBe("aq");
  expect(separator("key1", "key9")).toBe("key2");
  expect(separator("key", "key9")).toBe("key");
  expect(separator("key", "key")).toBe("key");
  expect(separator("key1", "key2")).toBe("key1");
  expect(separator("", "a")).toBe("");
  expect(toHex(separatorOf(fromHex("01ffff")!, fromHex("02")!))).toBe("01ffff");
});

test("a separator is at or after the last key of one block and before the first of the next, and no longer than it", () => {
  eachSeed(30, (prng) => {
    for (let round = 0; round < 300; round++) {
      const [last, first] = [randomKey(prng), randomKey(prng)].sort(compareBytes) as [Bytes, Bytes];
      const where = `${toHex(last)} ${toHex(first)}`;
      const separator = separatorOf(last, first);
      expect(compareBytes(last, separator), where).toBeLessThanOrEqual(0);
      if (equalBytes(last, first)) expect(separator, where).toEqual(last);
      else expect(compareBytes(separator, first), where).toBeLessThan(0);
      expect(separator.length, where).toBeLessThanOrEqual(last.length);
    }
  });
});

test("the index leads to the first block that may hold a key, also where versions of one key fill several", () => {
  eachSeed(40, (prng, seed) => {
    const keys = Array.from({ length: prng.int(1, 300) }, () => randomKey(prng)).sort(compareBytes);
    const blocks: Bytes[][] = [];
    for (let at = 0; at < keys.length; ) {
      const count = prng.int(1, 4);
      blocks.push(keys.slice(at, at + count));
      at += count;
    }
    const builder = new BlockIndexBuilder();
    for (let at = 1; at < blocks.length; at++) builder.add(blocks[at - 1]!.at(-1)!, blocks[at]![0]!);
    const [smallest, largest] = [keys[0]!, keys.at(-1)!];
    const index = new BlockIndex(builder.finish(), sharedBytesOf(smallest, largest));
    expect(index.blocks).toBe(blocks.length);
    for (let round = 0; round < 200; round++) {
      const key = prng.chance(1, 2) ? prng.pick(keys) : randomKey(prng);
      if (compareBytes(key, smallest) < 0 || compareBytes(key, largest) > 0) continue;
      // Every row at or after the key is in this block or behind it, and the block before has none.
      const found = index.blockOf(key);
      const first = blocks.findIndex((block) => compareBytes(block.at(-1)!, key) >= 0);
      const isIn = blocks[first]!.some((other) => equalBytes(other, key));
      const where = `SEED=${seed} ${toHex(key)}`;
      expect(found, where).toBeLessThanOrEqual(first);
      expect(found, where).toBeGreaterThanOrEqual(isIn ? first : first - 1);
    }
  });
});

test("an index that ends early is a DecodeError", () => {
  for (const hex of ["", "000000", "01000000", "0200000001000000"])
    expect(() => new BlockIndex(fromHex(hex)!, 0), hex).toThrow(DecodeError);
  expect(new BlockIndex(fromHex("00000000")!, 0).blocks).toBe(1);
});
