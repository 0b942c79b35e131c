import type { Bytes } from "../lib/bytes.ts";

/**
 * A position in one layer (a memtable or a run): on a key that the layer holds, in its newest version that the view
 * of the cursor sees, or on none (invalid). Layers hide nothing from each other: tombstones are positions too.
 */
export interface Cursor {
  readonly isValid: boolean;
  /** Requires isValid, like all that follows but the seeks. */
  readonly key: Bytes;
  isTombstone(): boolean;
  value(): Bytes;
  next(): void;
  prev(): void;
  seekToFirst(): void;
  seekToLast(): void;
  /** To the first key at or after `target`. */
  seek(target: Bytes): void;
  /** To the first key after `target`. */
  seekAfter(target: Bytes): void;
  /** To the last key before `target`. */
  seekBefore(target: Bytes): void;
}
