/**
 * How much of a store is alive: one in 256 keys, chosen by its hash, is noted with its size in the footer of each
 * run's file. The newest note of a key counts, and the others are garbage that a merge would give back. With n notes
 * the error is about 1 / sqrt(n): a few per cent of a small memtable, nothing of a large store.
 */
import type { ByteReader, ByteWriter } from "../lib/codec.ts";

const sampleMask = 0xff;
export const sampledOneIn = sampleMask + 1;

/** Notes of the keys of a file, in the order of the keys: hash and bytes of the newest version, 0 for a deletion. */
export interface KeySample {
  readonly hashes: readonly number[];
  readonly bytes: readonly number[];
}

export class KeySampler {
  readonly #hashes: number[] = [];
  readonly #bytes: number[] = [];

  add(hash: number, bytes: number): void {
    if ((hash & sampleMask) !== 0) return;
    this.#hashes.push(hash);
    this.#bytes.push(bytes);
  }

  take(): KeySample {
    return { hashes: this.#hashes, bytes: this.#bytes };
  }
}

export function encodeSample(writer: ByteWriter, { hashes, bytes }: KeySample): void {
  writer.varint(hashes.length);
  for (const [at, hash] of hashes.entries()) {
    writer.u32(hash);
    writer.varint(bytes[at]!);
  }
}

/** Throws DecodeError. */
export function decodeSample(reader: ByteReader): KeySample {
  const hashes: number[] = [];
  const bytes: number[] = [];
  for (let count = reader.varint(); count > 0; count--) {
    hashes.push(reader.u32());
    bytes.push(reader.varint());
  }
  return { hashes, bytes };
}

/** What is alive and what is there, in bytes, as far as the samples (newest first) tell. */
export function estimateLive(newestFirst: Iterable<KeySample>): {
  live: number;
  total: number;
  notes: number;
} {
  const seen = new Set<number>();
  let live = 0;
  let total = 0;
  for (const { hashes, bytes } of newestFirst)
    for (let at = 0; at < hashes.length; at++) {
      const size = bytes[at]!;
      total += Math.max(size, tombstoneBytes);
      if (seen.has(hashes[at]!)) continue;
      seen.add(hashes[at]!);
      live += size;
    }
  return { live: live * sampledOneIn, total: total * sampledOneIn, notes: seen.size };
}

/** A deletion takes space, too. */
const tombstoneBytes = 24;
