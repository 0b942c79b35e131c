/**
 * Keys and values of the store's benchmark. A key is a function of its index, so that ten million of them take no
 * memory, and a value differs from all others.
 */
import { Prng } from "../../src/env/prng.ts";
import { copyRange } from "../../src/lib/bytes.ts";

export const keyBytes = 16;
export const valueBytes = 256;
const poolBytes = 1 << 20;

export class StoreWorkload {
  readonly #seeds: Uint32Array;
  readonly #pool: Uint8Array;
  #serial = 0;

  constructor(seed: number) {
    const prng = new Prng(seed);
    this.#seeds = Uint32Array.from({ length: 8 }, () => prng.u32());
    const words = Uint32Array.from({ length: poolBytes / 4 }, () => prng.u32());
    this.#pool = new Uint8Array(words.buffer);
  }

  /** The first 32 bits of a key, in byte order. */
  keyHead(index: number): number {
    return mix(index ^ this.#seeds[0]!, this.#seeds[4]!);
  }

  /** Writes the key of an index. Keys of different indexes differ: the last of the four mixes is a bijection. */
  key(index: number, into: Uint8Array): void {
    const seeds = this.#seeds;
    for (let word = 0; word < 4; word++) {
      const bits = mix(index ^ seeds[word]!, word === 3 ? 0 : seeds[4 + word]!);
      into[4 * word] = bits >>> 24;
      into[4 * word + 1] = bits >>> 16;
      into[4 * word + 2] = bits >>> 8;
      into[4 * word + 3] = bits;
    }
  }

  /** Writes random bytes, with a new serial number in front. */
  value(into: Uint8Array): void {
    const serial = ++this.#serial;
    const from = mix(serial, this.#seeds[7]!) & (poolBytes / 2 - 1);
    copyRange(this.#pool, from, from + valueBytes, into, 0);
    for (let at = 0; at < 4; at++) into[at] = serial >>> (8 * at);
  }
}

/** So many keys and values at a time are made ready before the clock runs. */
export const batchPuts = 64;

export class StoreBatch {
  readonly keys = Array.from({ length: batchPuts }, () => new Uint8Array(keyBytes));
  readonly values = Array.from({ length: batchPuts }, () => new Uint8Array(valueBytes));
  readonly #workload: StoreWorkload;
  length = 0;

  constructor(workload: StoreWorkload) {
    this.#workload = workload;
  }

  /** Keys [from, to) of an order of indexes, `batchPuts` at the most. */
  fill(from: number, to: number, order: (at: number) => number = (at) => at): void {
    this.length = Math.min(batchPuts, to - from);
    for (let at = 0; at < this.length; at++) {
      this.#workload.key(order(from + at), this.keys[at]!);
      this.#workload.value(this.values[at]!);
    }
  }
}

/** Every number below `count` once, in random order. */
export function shuffled(count: number, seed: number): (at: number) => number {
  const bits = Math.max(2, 32 - Math.clz32(Math.max(1, count - 1)));
  const mask = 2 ** bits - 1;
  const half = bits >>> 1;
  const step = (value: number): number => {
    let mixed = (value ^ seed) & mask;
    for (const factor of [0x9e3779b1, 0x85ebca6b, 0xc2b2ae35]) {
      mixed = Math.imul(mixed, factor) & mask;
      mixed ^= mixed >>> half;
    }
    return mixed;
  };
  // A bijection of the next power of two: what is too large is sent on until it is not.
  return (at) => {
    let place = step(at);
    while (place >= count) place = step(place);
    return place;
  };
}

/** A bijection for a fixed `salt` of 0; else 32 bits as random as a hash's. */
function mix(value: number, salt: number): number {
  let bits = Math.imul(value ^ (value >>> 16), 0x7feb352d);
  bits = Math.imul(bits ^ (bits >>> 15), 0x846ca68b);
  bits ^= bits >>> 16;
  if (salt === 0) return bits >>> 0;
  bits = Math.imul(bits + Math.imul(value, salt | 1), 0x9e3779b1);
  bits = Math.imul(bits ^ (bits >>> 15), 0x2c1b3c6d);
  return (bits ^ (bits >>> 13)) >>> 0;
}
