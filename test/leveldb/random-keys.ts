import type { Prng } from "../../src/env/prng.ts";
import type { Bytes } from "../../src/lib/bytes.ts";

/** A key that is likely to be close to others: few different bytes, shared starts, zeros, and often short. */
export function randomKey(prng: Prng): Bytes {
  const start = prng.pick([[], [], [0], [7, 7, 7, 7], [1, 2, 3, 4, 5, 6, 7, 8], new Array(20).fill(255)]);
  const rest = Array.from({ length: prng.pick([0, 1, 1, 2, 3, 5, 9]) }, () =>
    prng.pick([0, 0, 1, 127, 128, 254, 255]),
  );
  return new Uint8Array([...start, ...rest]);
}
