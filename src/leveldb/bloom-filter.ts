/**
 * Which keys a run's file may hold: a Bloom filter of 10 bits a key, asked 6 times, so that one in a hundred keys
 * that are not there is looked for in vain.
 *
 *     filter = bits, lowest first in each byte; any length above 0
 *     probe i of a key with hash h is bit (h + i * step) mod 2^32, scaled to the number of bits; step = h rotated
 * by 15, odd
 */
import type { Bytes } from "../lib/bytes.ts";

const bitsPerKey = 10;
const probes = 6;
const twoTo32 = 0x1_0000_0000;

/** A filter over the keys with these hashes. */
export function buildFilter(hashes: Uint32Array): Bytes {
  const filter = new Uint8Array(Math.max(8, Math.ceil((hashes.length * bitsPerKey) / 8)));
  const bits = filter.length * 8;
  for (const hash of hashes) {
    let probe = hash;
    const step = stepOf(hash);
    for (let count = 0; count < probes; count++) {
      const bit = Math.floor((probe / twoTo32) * bits);
      filter[bit >>> 3]! |= 1 << (bit & 7);
      probe = (probe + step) >>> 0;
    }
  }
  return filter;
}

/** False only when no key with this hash is in the filter. */
export function mayContain(filter: Bytes, hash: number): boolean {
  const bits = filter.length * 8;
  let probe = hash;
  const step = stepOf(hash);
  for (let count = 0; count < probes; count++) {
    const bit = Math.floor((probe / twoTo32) * bits);
    if ((filter[bit >>> 3]! & (1 << (bit & 7))) === 0) return false;
    probe = (probe + step) >>> 0;
  }
  return true;
}

function stepOf(hash: number): number {
  return ((hash >>> 17) | (hash << 15) | 1) >>> 0;
}
