import { expect, test } from "bun:test";
import { Prng } from "../../src/env/prng.ts";
import { buildFilter, mayContain } from "../../src/leveldb/bloom-filter.ts";
import { hashKey, hashRange } from "../../src/leveldb/key-hash.ts";
import { toHex, toUtf8 } from "../../src/lib/bytes.ts";
import { randomKey } from "./random-keys.ts";
import { eachSeed } from "./seed.ts";

test("hashes and filters are as they are in files: another result is another format of a run", () => {
  expect(["", "k", "key", "key1", "a longer key"].map((key) => hashKey(toUtf8(key)))).toEqual([
    2872998923, 2175757071, 1854767806, 456066571, 1511048774,
  ]);
  expect(toHex(buildFilter(new Uint32Array([1, 0xffffffff, hashKey(toUtf8("key"))])))).toBe(
    "0128002800100090",
  );
});

test("the hash of a part of a buffer is that of the part alone", () => {
  eachSeed(20, (prng) => {
    const key = randomKey(prng);
    const start = prng.int(0, 9);
    const buffer = new Uint8Array([...new Array(start).fill(9), ...key, 1, 2, 3]);
    expect(hashRange(buffer, start, start + key.length)).toBe(hashKey(key));
  });
});

test("a key that is there is always found, with any number of keys", () => {
  for (const count of [0, 1, 2, 7, 8, 100, 5000]) {
    const hashes = Uint32Array.from({ length: count }, (_, place) => hashKey(toUtf8(`key${place}`)));
    const filter = buildFilter(hashes);
    for (const hash of hashes) expect(mayContain(filter, hash)).toBe(true);
    expect(filter.length).toBe(Math.max(8, Math.ceil((count * 10) / 8)));
  }
});

test("one key in a hundred that is not there is looked for in vain, whatever the keys look like", () => {
  const prng = new Prng(1);
  const shapes: [string, (place: number) => Uint8Array][] = [
    ["numbers in text", (place) => toUtf8(String(place))],
    ["numbers in text of one length", (place) => toUtf8(`user/${String(place).padStart(10, "0")}`)],
    ["numbers in bytes", (place) => new Uint8Array([place >> 16, place >> 8, place])],
    ["chance", () => new Uint8Array(12).map(() => prng.int(0, 255))],
  ];
  for (const [name, keyOf] of shapes) {
    const count = 10_000;
    const filter = buildFilter(Uint32Array.from({ length: count }, (_, place) => hashKey(keyOf(place))));
    let wrong = 0;
    for (let place = count; place < 2 * count; place++)
      if (mayContain(filter, hashKey(keyOf(place)))) wrong++;
    expect(wrong / count, name).toBeLessThan(0.015);
  }
});
