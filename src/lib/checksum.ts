import type { Bytes } from "./bytes.ts";

/**
 * CRC-32 (IEEE 802.3) as an unsigned 32-bit number; `seed` continues an earlier checksum.
 * The checksum of no bytes is the seed: give a seed that is not 0 wherever an all-zero record must not pass.
 */
export function crc32(bytes: Bytes, seed = 0): number {
  return Bun.hash.crc32(bytes, seed);
}
