import { assert } from "../lib/assert.ts";
import { type Bytes, compareBytes } from "../lib/bytes.ts";
import { KvraftError } from "../lib/error.ts";
import type { Cursor } from "./cursor.ts";
import type { View } from "./view.ts";

/**
 * LevelDB's iterator: a position on a live key of the store as it was when the iterator was made, or on none
 * (invalid, as at first). Writes, flushes and merges do not move it. `close` it: until then it holds what it sees.
 *
 * Per layer there is a cursor. All of them stand at or beyond the current key in the direction of travel, and only
 * the current one stands on it: where layers share a key the newest stays, and the others step on. Going the other
 * way, they are sent to the other side of the current key first.
 */
export class MergingIterator {
  readonly #view: View;
  readonly #closed: (iterator: MergingIterator) => void;
  /** Newest layer first; undefined when closed. */
  #cursors: readonly Cursor[] | undefined;
  #current: Cursor | undefined;
  /**
   * The nearest key of the other cursors: while the current one stays on this side of it, nothing else is
   * compared.
   */
  #rival: Bytes | undefined;
  #direction: 1 | -1 = 1;

  /** Takes over the view, and shows what was there at a sequence number. `closed` is told once. */
  constructor(view: View, sequence: number, closed: (iterator: MergingIterator) => void) {
    this.#view = view;
    this.#closed = closed;
    this.#cursors = view.cursors(sequence);
  }

  valid(): boolean {
    return this.#current !== undefined;
  }

  seekToFirst(): void {
    for (const cursor of this.#open()) cursor.seekToFirst();
    this.#settle(1);
  }

  seekToLast(): void {
    for (const cursor of this.#open()) cursor.seekToLast();
    this.#settle(-1);
  }

  /** To the first key at or after `target`. */
  seek(target: Bytes): void {
    for (const cursor of this.#open()) cursor.seek(target);
    this.#settle(1);
  }

  /** Requires valid(), like prev, key and value. Beyond the last key the iterator is invalid. */
  next(): void {
    const current = this.#on();
    if (this.#direction === -1) {
      const key = current.key;
      for (const cursor of this.#open()) if (cursor !== current) cursor.seekAfter(key);
      current.next();
      this.#settle(1);
    } else this.#step(current, 1);
  }

  prev(): void {
    const current = this.#on();
    if (this.#direction === 1) {
      const key = current.key;
      for (const cursor of this.#open()) if (cursor !== current) cursor.seekBefore(key);
      current.prev();
      this.#settle(-1);
    } else this.#step(current, -1);
  }

  /** Not to be written to; good for as long as the caller keeps it. */
  key(): Bytes {
    return this.#on().key;
  }

  /** Not to be written to; good for as long as the caller keeps it. */
  value(): Bytes {
    return this.#on().value();
  }

  /** Lets go of what the iterator sees. Calling it again does nothing. */
  close(): void {
    if (this.#cursors === undefined) return;
    this.#cursors = undefined;
    this.#current = undefined;
    this.#view.release();
    this.#closed(this);
  }

  #step(current: Cursor, direction: 1 | -1): void {
    this.#advance(current, direction);
    if (
      current.isValid &&
      (this.#rival === undefined || compareBytes(current.key, this.#rival) * direction < 0)
    ) {
      if (!current.isTombstone()) return;
    }
    this.#settle(direction);
  }

  /** Makes the nearest live key the current one, given cursors on the right side of the last one. */
  #settle(direction: 1 | -1): void {
    this.#direction = direction;
    for (;;) {
      const nearest = this.#nearest(direction);
      this.#current = nearest;
      if (nearest === undefined || !nearest.isTombstone()) return;
      this.#advance(nearest, direction);
    }
  }

  #nearest(direction: 1 | -1): Cursor | undefined {
    let nearest: Cursor | undefined;
    let rival: Bytes | undefined;
    for (const cursor of this.#open()) {
      if (nearest !== undefined && cursor.isValid) {
        const order = compareBytes(cursor.key, nearest.key) * direction;
        if (order < 0) {
          rival = nearest.key;
          nearest = cursor;
          continue;
        }
        // An older version of a key that a newer layer holds is not there.
        if (order === 0) this.#advance(cursor, direction);
        if (cursor.isValid && (rival === undefined || compareBytes(cursor.key, rival) * direction < 0))
          rival = cursor.key;
      } else if (cursor.isValid) nearest = cursor;
    }
    this.#rival = rival;
    return nearest;
  }

  #advance(cursor: Cursor, direction: 1 | -1): void {
    if (direction === 1) cursor.next();
    else cursor.prev();
  }

  #on(): Cursor {
    this.#open();
    assert(this.#current !== undefined, "the iterator is valid when it is moved or read");
    return this.#current;
  }

  #open(): readonly Cursor[] {
    if (this.#cursors === undefined)
      throw new KvraftError(
        "CLOSED",
        "Cannot use the iterator: it was closed, or its database was; open a new one",
      );
    return this.#cursors;
  }
}
