/**
 * The key space of the store, by first byte. Everything but `x` is replicated, and belongs into a snapshot.
 *
 *     b  boots      c  configuration      k  user keys      l  leases      m  meta      s  sessions      x  local
 */
import { type Bytes, fromUtf8Strict, toUtf8 } from "../lib/bytes.ts";
import { DecodeError } from "../lib/codec.ts";

const userByte = 0x6b;
const sessionByte = 0x73;

export const bootsKey: Bytes = toUtf8("b");
export const configurationKey: Bytes = toUtf8("c");
export const metaKey: Bytes = toUtf8("m");
export const sessionPrefix: Bytes = toUtf8("s");
/** Where the keys begin that are no part of the replicated state: behind all that are. */
export const localPrefix: Bytes = toUtf8("x");

/** Where the value of a client's key lives: `k`, then the key. The empty key is a key. */
export function userKey(key: Bytes): Bytes {
  const prefixed = new Uint8Array(key.length + 1);
  prefixed[0] = userByte;
  prefixed.set(key, 1);
  return prefixed;
}

export function sessionKey(name: string): Bytes {
  return toUtf8(`s${name}`);
}

/**
 * The session whose record is at this key, or undefined when it is another kind of key. Exactly the name that
 * `sessionKey` was given: a lenient decoder would drop a byte order mark, and with it the session.
 */
export function sessionNameOf(key: Bytes): string | undefined {
  if (key[0] !== sessionByte) return undefined;
  const name = fromUtf8Strict(key.subarray(1));
  if (name === undefined) throw new DecodeError("the name of a session is no UTF-8");
  return name;
}
