import { assert } from "../lib/assert.ts";
import type { Bytes } from "../lib/bytes.ts";
import type { Cursor } from "./cursor.ts";
import { keyOfText, textOfKey } from "./key-text.ts";
import type { Entry, EntryOrder, Version } from "./memtable-entry.ts";

/** A cursor over the keys of a memtable that have a version at or before `stamp`, which must be pinned. */
export class MemtableCursor implements Cursor {
  readonly #order: EntryOrder;
  readonly #stamp: number;
  #epoch = 0;
  #place = 0;
  #entry: Entry | undefined;
  #key: Bytes | undefined;

  constructor(order: EntryOrder, stamp: number) {
    this.#order = order;
    this.#stamp = stamp;
  }

  get isValid(): boolean {
    return this.#entry !== undefined;
  }

  get key(): Bytes {
    this.#key ??= keyOfText(this.#current().text);
    return this.#key;
  }

  isTombstone(): boolean {
    return this.#version().isTombstone;
  }

  value(): Bytes {
    return this.#version().value();
  }

  next(): void {
    this.#land(this.#presentPlace() + 1, 1);
  }

  prev(): void {
    this.#land(this.#presentPlace() - 1, -1);
  }

  seekToFirst(): void {
    this.#land(0, 1);
  }

  seekToLast(): void {
    this.#land(this.#order.entries.length - 1, -1);
  }

  seek(target: Bytes): void {
    this.#land(this.#order.placeOf(textOfKey(target)), 1);
  }

  seekAfter(target: Bytes): void {
    const text = textOfKey(target);
    const place = this.#order.placeOf(text);
    this.#land(this.#order.entries[place]?.text === text ? place + 1 : place, 1);
  }

  seekBefore(target: Bytes): void {
    this.#land(this.#order.placeOf(textOfKey(target)) - 1, -1);
  }

  /** To the nearest entry from `place` on, in the direction of `step`, that the view sees. */
  #land(place: number, step: 1 | -1): void {
    const entries = this.#order.entries;
    let at = place;
    while (at >= 0 && at < entries.length && entries[at]!.visible(this.#stamp) === undefined) at += step;
    this.#place = at;
    this.#entry = entries[at];
    this.#epoch = this.#order.epoch;
    this.#key = undefined;
  }

  /** Entries that other cursors brought into order meanwhile may have moved ours. */
  #presentPlace(): number {
    const text = this.#current().text;
    return this.#epoch === this.#order.epoch ? this.#place : this.#order.placeOf(text);
  }

  #current(): Entry {
    assert(this.#entry !== undefined, "the cursor is on a key");
    return this.#entry;
  }

  /** Looked up each time: a write turns the entry into a newer version, and sets ours aside. */
  #version(): Version {
    const version = this.#current().visible(this.#stamp);
    assert(version !== undefined, "what a pinned view saw stays");
    return version;
  }
}
