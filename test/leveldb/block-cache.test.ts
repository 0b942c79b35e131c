import { expect, test } from "bun:test";
import { pageBlockBytes } from "../../src/env/tables.ts";
import { RowBlock, sealBlock } from "../../src/leveldb/block.ts";
import { BlockCache } from "../../src/leveldb/block-cache.ts";
import { eachSeed } from "./seed.ts";

/** A block of one empty row, and padding behind it. */
function blockOf(bytes = 64): RowBlock {
  const block = new Uint8Array(bytes);
  block[bytes - 8] = 1;
  sealBlock(block, bytes - 4, 1, 0);
  return new RowBlock(block);
}

test("a block that was added is found until others have taken its place, and only under its own number", () => {
  eachSeed(10, (prng, seed) => {
    const blocksMax = prng.pick([4, 8, 64, 500]);
    const cache = new BlockCache(blocksMax * pageBlockBytes);
    const added = new Map<string, RowBlock>();
    let found = 0;
    for (let step = 0; step < 3000; step++) {
      const [file, number] = [prng.int(1, 8), prng.pick([prng.int(0, 50), 2 ** 24 - 1 - prng.int(0, 3)])];
      const name = `${file} ${number}`;
      const block = cache.get(file, number);
      if (block !== undefined) {
        found++;
        expect(block, `SEED=${seed}`).toBe(added.get(name)!);
        continue;
      }
      const fresh = blockOf();
      added.set(name, fresh);
      cache.add(file, number, fresh);
      expect(cache.get(file, number)).toBe(fresh);
      expect(cache.bytes).toBeLessThanOrEqual(blocksMax * pageBlockBytes);
    }
    expect(found).toBeGreaterThan(0);
  });
});

test("what was added last stays longer than what was added first", () => {
  const cache = new BlockCache(4 * pageBlockBytes);
  const blocks = Array.from({ length: 6 }, () => blockOf());
  for (const [number, block] of blocks.entries()) cache.add(1, number, block);
  expect(blocks.map((_, number) => cache.get(1, number))).toEqual([undefined, undefined, ...blocks.slice(2)]);
  expect(cache.bytes).toBe(4 * pageBlockBytes);
});

test("no block is kept that is larger than a page, nor any without room", () => {
  const cache = new BlockCache(100 * pageBlockBytes);
  cache.add(1, 0, blockOf(pageBlockBytes + 1));
  expect(cache.get(1, 0)).toBeUndefined();
  expect(cache.bytes).toBe(0);
  const none = new BlockCache(0);
  none.add(1, 0, blockOf());
  expect([none.get(1, 0), none.bytes]).toEqual([undefined, 0]);
});
