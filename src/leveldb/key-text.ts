/**
 * Keys as strings of one character per byte (Latin-1). They hash and compare natively, equal bytes are equal strings,
 * and string order is byte order.
 */
import type { Bytes } from "../lib/bytes.ts";

const latin1Slice = Buffer.prototype.latin1Slice;
const latin1Write = Buffer.prototype.latin1Write;

/** Below this many characters a loop is faster than a call into the runtime. */
const loopCharactersMax = 48;

export function textOfKey(key: Bytes): string {
  return latin1Slice.call(key as Buffer, 0, key.length);
}

/** The bytes of a text made by `textOfKey`, in memory of their own. */
export function keyOfText(text: string): Bytes {
  const length = text.length;
  const key = new Uint8Array(length);
  if (length > loopCharactersMax) latin1Write.call(key as Buffer, text, 0, length);
  else for (let offset = 0; offset < length; offset++) key[offset] = text.charCodeAt(offset);
  return key;
}
