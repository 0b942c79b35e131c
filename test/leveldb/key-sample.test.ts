import { expect, test } from "bun:test";
import { hashKey } from "../../src/leveldb/key-hash.ts";
import {
  decodeSample,
  encodeSample,
  estimateLive,
  type KeySample,
  KeySampler,
} from "../../src/leveldb/key-sample.ts";
import { toUtf8 } from "../../src/lib/bytes.ts";
import { ByteReader, ByteWriter, DecodeError } from "../../src/lib/codec.ts";

/** Notes of the keys [from, to), each of so many bytes; 0 for deletions. */
function sampleOf(from: number, to: number, bytes: number): KeySample {
  const sampler = new KeySampler();
  for (let place = from; place < to; place++) sampler.add(hashKey(toUtf8(`key${place}`)), bytes);
  return sampler.take();
}

test("one key in 256 is noted, the same ones in every file", () => {
  const sample = sampleOf(0, 100_000, 100);
  expect(sample.hashes.length).toBeGreaterThan(300);
  expect(sample.hashes.length).toBeLessThan(480);
  expect(sampleOf(0, 100_000, 7).hashes).toEqual(sample.hashes);
});

test("what is encoded is decoded again, and a sample that is cut is a DecodeError", () => {
  for (const sample of [sampleOf(0, 0, 1), sampleOf(0, 3000, 100_000), sampleOf(0, 3000, 0)]) {
    const writer = new ByteWriter();
    encodeSample(writer, sample);
    const bytes = writer.take();
    expect(decodeSample(new ByteReader(bytes))).toEqual(sample);
    for (let length = 0; length < bytes.length; length++)
      expect(() => decodeSample(new ByteReader(bytes.slice(0, length)))).toThrow(DecodeError);
  }
});

test("of a key that several runs have, the newest version is alive and the others are garbage", () => {
  const keys = 200_000;
  const [old, fresh] = [sampleOf(0, keys, 100), sampleOf(0, keys / 2, 60)];
  const { live, total } = estimateLive([fresh, old]);
  expect(Math.abs(live / ((keys / 2) * (60 + 100)) - 1)).toBeLessThan(0.1);
  expect(Math.abs(total / ((keys / 2) * 60 + keys * 100) - 1)).toBeLessThan(0.1);
  expect(estimateLive([old, fresh]).live).toBeGreaterThan(live);
});

test("what is deleted is not alive, and the deletion itself takes space", () => {
  const [old, deleted] = [sampleOf(0, 50_000, 100), sampleOf(0, 50_000, 0)];
  const { live, total, notes } = estimateLive([deleted, old]);
  expect([live, notes]).toEqual([0, old.hashes.length]);
  expect(total).toBeGreaterThan(256 * 100 * notes);
  expect(estimateLive([])).toEqual({ live: 0, total: 0, notes: 0 });
});
