import type { Bytes } from "../lib/bytes.ts";

/** Four bytes from `from` on as a number in byte order, zeros behind `end`: two of them decide most comparisons of keys. */
export function headOf(bytes: Bytes, from: number, end: number): number {
  if (end - from >= 4)
    return (
      ((bytes[from]! << 24) | (bytes[from + 1]! << 16) | (bytes[from + 2]! << 8) | bytes[from + 3]!) >>> 0
    );
  let value = 0;
  for (let at = from; at < from + 4; at++) value = value * 256 + (at < end ? bytes[at]! : 0);
  return value;
}
