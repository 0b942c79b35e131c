import type { Cursor } from "../../src/leveldb/cursor.ts";
import { type Bytes, compareBytes } from "../../src/lib/bytes.ts";

/**
 * Moves a cursor as `choice` says (0 to 4 look for something, below 10 is next, above is prev), and returns where among
 * `rows`, which are what it sees in order, it should be then.
 */
export function moveCursor(
  cursor: Cursor,
  choice: number,
  target: Bytes,
  place: number,
  rows: readonly { readonly key: Bytes }[],
): number {
  switch (choice) {
    case 0:
      cursor.seekToFirst();
      return 0;
    case 1:
      cursor.seekToLast();
      return rows.length - 1;
    case 2:
      cursor.seek(target);
      return rows.findIndex(({ key }) => compareBytes(key, target) >= 0);
    case 3:
      cursor.seekAfter(target);
      return rows.findIndex(({ key }) => compareBytes(key, target) > 0);
    case 4:
      cursor.seekBefore(target);
      return rows.findLastIndex(({ key }) => compareBytes(key, target) < 0);
  }
  if (choice < 10) cursor.next();
  else cursor.prev();
  return choice < 10 ? place + 1 : place - 1;
}
