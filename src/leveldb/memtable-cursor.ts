import { assert } from "../lib/assert.ts";
import type { Bytes } from "../lib/bytes.ts";
import type { Cursor } from "./cursor.ts";
import type { Memtable } from "./memtable.ts";
import type { Place } from "./memtable-index.ts";
import { valueOfRecord } from "./record.ts";

/**
 * A cursor over the keys of a memtable that have a version at or before `stamp`, which must be pinned, and at or
 * below `sequence`. Writes neither move nor invalidate it.
 */
export class MemtableCursor implements Cursor {
  readonly #memtable: Memtable;
  readonly #stamp: number;
  readonly #sequence: number;
  #epoch = 0;
  #place: Place = { leaf: 0, place: -1 };
  #address = -1;
  #key: Bytes | undefined;

  constructor(memtable: Memtable, stamp: number, sequence: number) {
    this.#memtable = memtable;
    this.#stamp = stamp;
    this.#sequence = sequence;
  }

  get isValid(): boolean {
    return this.#address !== -1;
  }

  get key(): Bytes {
    assert(this.#address !== -1, "the cursor is on a key");
    this.#key ??= this.#memtable.memory.key(this.#address);
    return this.#key;
  }

  isTombstone(): boolean {
    assert(this.#address !== -1, "the cursor is on a key");
    return this.#memtable.memory.isTombstone(this.#address);
  }

  value(): Bytes {
    assert(this.#address !== -1, "the cursor is on a key");
    const value = valueOfRecord(this.#memtable.memory.record(this.#address));
    assert(value !== undefined, "a tombstone has no value");
    return value.slice();
  }

  next(): void {
    const key = this.key;
    if (this.#epoch !== this.#memtable.index.epoch) this.#seekVisible(key);
    this.#skipForward(key);
  }

  prev(): void {
    this.seekBefore(this.key);
  }

  seekToFirst(): void {
    this.#go(this.#memtable.index.first());
    this.#settleForward();
  }

  seekToLast(): void {
    this.#go(this.#memtable.index.last());
    this.#settleBackward();
  }

  seek(target: Bytes): void {
    this.#seekVisible(target);
    this.#settleForward();
  }

  seekAfter(target: Bytes): void {
    this.#seekVisible(target);
    const { index, memory } = this.#memtable;
    const address = index.at(this.#place);
    if (address !== -1 && memory.compareKey(address, target, 0) === 0) this.#skipForward(target);
    else this.#settleForward();
  }

  seekBefore(target: Bytes): void {
    const { index } = this.#memtable;
    // In front of all versions of the target: no stamp and no sequence number is too new.
    this.#go(index.placeOf(target, Infinity, Infinity));
    index.backward(this.#place);
    this.#settleBackward();
  }

  /** To the newest version of the key that is visible, or to the first place after those that are not. */
  #seekVisible(key: Bytes): void {
    this.#go(this.#memtable.index.placeOf(key, this.#stamp, this.#sequence));
  }

  #go(place: Place): void {
    this.#place = place;
    this.#epoch = this.#memtable.index.epoch;
  }

  /**
   * Beyond the versions of the key at the present place. One key after another is common; many versions are looked
   * up.
   */
  #skipForward(key: Bytes): void {
    const { index, memory } = this.#memtable;
    for (let steps = 0; ; steps++) {
      index.forward(this.#place);
      const address = index.at(this.#place);
      if (address === -1 || memory.compareKey(address, key, 0) !== 0) break;
      // No version is that old: the place after all of them.
      if (steps === 4) {
        this.#go(index.placeOf(key, -1, -1));
        break;
      }
    }
    this.#settleForward();
  }

  /** From the present place on, the first key that has a visible version, at that version. */
  #settleForward(): void {
    const { index, memory } = this.#memtable;
    for (;;) {
      const address = index.at(this.#place);
      if (address === -1 || this.#isVisible(address)) return this.#land(address);
      const key = memory.key(address);
      this.#seekVisible(key);
    }
  }

  /** From the present place back, the first key that has a visible version, at its newest one. */
  #settleBackward(): void {
    const { index, memory } = this.#memtable;
    for (;;) {
      const address = index.at(this.#place);
      if (address === -1) return this.#land(-1);
      // The place is that of the key's oldest version.
      const key = memory.key(address);
      const found = index.find(key, this.#stamp, this.#sequence);
      if (found !== -1) {
        this.#seekVisible(key);
        return this.#land(found);
      }
      this.#go(index.placeOf(key, Infinity, Infinity));
      index.backward(this.#place);
    }
  }

  #isVisible(address: number): boolean {
    const { memory } = this.#memtable;
    return memory.stamp(address) <= this.#stamp && memory.sequence(address) <= this.#sequence;
  }

  #land(address: number): void {
    this.#address = address;
    this.#key = undefined;
  }
}
