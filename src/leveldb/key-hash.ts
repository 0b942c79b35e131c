import type { Bytes } from "../lib/bytes.ts";

/**
 * 32 bits of a key, for filters and samples. They are stored in files: a change of this function is a new format of a
 * run. (FNV-1a, two bytes a step, with the finish of MurmurHash3.)
 */
export function hashRange(bytes: Bytes, start: number, end: number): number {
  let hash = 0x811c9dc5 ^ (end - start);
  let at = start;
  for (; at + 1 < end; at += 2) hash = Math.imul(hash ^ (bytes[at]! | (bytes[at + 1]! << 8)), 0x01000193);
  if (at < end) hash = Math.imul(hash ^ bytes[at]!, 0x01000193);
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

export function hashKey(key: Bytes): number {
  return hashRange(key, 0, key.length);
}
