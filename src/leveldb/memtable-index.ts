/**
 * The order of a memtable: addresses of entries, by key, and of one key the newest first. A list of leaves of up to
 * 256 places each; a place is found by two binary searches, over the leaves and in one, and most comparisons are of
 * the keys' first eight bytes, which stand beside the addresses. The addresses are shared memory: the worker that
 * makes a run of the memtable walks them as they are.
 */
import type { Bytes } from "../lib/bytes.ts";
import type { EntryMemory } from "./memtable-entry.ts";

export const leafPlaces = 256;
const leavesPerSlab = 64;
/** How many leading bytes of a key stand beside its address. */
const prefixBytes = 8;

/** Where the leaves are, for another thread: of each its slab, its place in it, and how many addresses it has. */
export interface IndexParts {
  readonly slabs: readonly SharedArrayBuffer[];
  readonly leaves: Uint32Array;
}

interface Leaf {
  readonly high: Uint32Array;
  readonly low: Uint32Array;
  readonly addresses: Uint32Array;
  readonly slab: number;
  readonly slabPlace: number;
  count: number;
}

/** A place in the order: good until the next insertion, which `epoch` counts. */
export interface Place {
  leaf: number;
  place: number;
}

export class MemtableIndex {
  epoch = 0;
  readonly #memory: EntryMemory;
  readonly #slabs: SharedArrayBuffer[] = [];
  readonly #leaves: Leaf[] = [];
  #slabUsed = 0;
  #slabLeaves = 0;
  /** What `seek` has found: kept here, so that a put makes no garbage. */
  #leaf = 0;
  #place = 0;

  constructor(memory: EntryMemory) {
    this.#memory = memory;
    this.#leaves.push(this.#newLeaf());
  }

  get isEmpty(): boolean {
    return this.#leaves[0]!.count === 0;
  }

  /**
   * Finds the first place at or after the key's versions that are not newer than `stamp` and `sequence`. Returns the
   * address of that version, or -1 when the key has none.
   */
  find(key: Bytes, stamp: number, sequence: number): number {
    this.#seek(key, stamp, sequence);
    const leaf = this.#leaves[this.#leaf]!;
    if (this.#place >= leaf.count) return this.#inNextLeaf(key);
    const address = leaf.addresses[this.#place]!;
    return this.#memory.compareKey(address, key, 0) === 0 ? address : -1;
  }

  /** The place that `find` looks for: the end of the order when there is none. */
  placeOf(key: Bytes, stamp: number, sequence: number): Place {
    this.#seek(key, stamp, sequence);
    return this.#normalized({ leaf: this.#leaf, place: this.#place });
  }

  /**
   * Puts the newest version of a key in front of its others, right where `find(key, ...)` with no bounds has
   * looked.
   */
  insertFound(key: Bytes, address: number): void {
    let leaf = this.#leaves[this.#leaf]!;
    if (leaf.count === leafPlaces) leaf = this.#split(leaf);
    const place = this.#place;
    if (place < leaf.count) {
      leaf.high.copyWithin(place + 1, place, leaf.count);
      leaf.low.copyWithin(place + 1, place, leaf.count);
      leaf.addresses.copyWithin(place + 1, place, leaf.count);
    }
    leaf.high[place] = prefix(key, 0);
    leaf.low[place] = prefix(key, 4);
    leaf.addresses[place] = address;
    leaf.count++;
    this.epoch++;
  }

  /** Puts the newest version of a key in the place of the one that `find` has found. */
  replaceFound(address: number): void {
    const leaf = this.#leaves[this.#leaf]!;
    if (this.#place < leaf.count) leaf.addresses[this.#place] = address;
    else this.#leaves[this.#leaf + 1]!.addresses[0] = address;
  }

  /** The address at a place, or -1 at either end of the order. */
  at(place: Place): number {
    const leaf = this.#leaves[place.leaf];
    if (leaf === undefined || place.place < 0 || place.place >= leaf.count) return -1;
    return leaf.addresses[place.place]!;
  }

  first(): Place {
    return this.#normalized({ leaf: 0, place: 0 });
  }

  last(): Place {
    const leaf = this.#leaves.length - 1;
    return { leaf, place: this.#leaves[leaf]!.count - 1 };
  }

  /** Moves to the next place, or beyond the last. */
  forward(place: Place): void {
    place.place++;
    if (place.place < this.#leaves[place.leaf]!.count || place.leaf + 1 >= this.#leaves.length) return;
    place.leaf++;
    place.place = 0;
  }

  /** Moves to the place before, or before the first. */
  backward(place: Place): void {
    if (place.place > 0 || place.leaf === 0) place.place--;
    else {
      place.leaf--;
      place.place = this.#leaves[place.leaf]!.count - 1;
    }
  }

  parts(): IndexParts {
    const leaves = new Uint32Array(this.#leaves.length * 3);
    for (const [at, leaf] of this.#leaves.entries())
      leaves.set([leaf.slab, leaf.slabPlace, leaf.count], at * 3);
    return { slabs: [...this.#slabs], leaves };
  }

  /** The key may stand first in the leaf after the one that was searched. */
  #inNextLeaf(key: Bytes): number {
    const next = this.#leaves[this.#leaf + 1];
    if (next === undefined) return -1;
    const address = next.addresses[0]!;
    return this.#memory.compareKey(address, key, 0) === 0 ? address : -1;
  }

  /** Only the end of the last leaf stands for the end of the order; that of another is the start of the next. */
  #normalized(place: Place): Place {
    if (place.place < this.#leaves[place.leaf]!.count || place.leaf + 1 >= this.#leaves.length) return place;
    return { leaf: place.leaf + 1, place: 0 };
  }

  #seek(key: Bytes, stamp: number, sequence: number): void {
    const high = prefix(key, 0);
    const low = prefix(key, 4);
    const leaves = this.#leaves;
    let first = 0;
    let last = leaves.length - 1;
    while (first < last) {
      const middle = (first + last + 1) >>> 1;
      if (this.#isBefore(leaves[middle]!, 0, key, high, low, stamp, sequence)) first = middle;
      else last = middle - 1;
    }
    const leaf = leaves[first]!;
    let from = 0;
    let to = leaf.count;
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (this.#isBefore(leaf, middle, key, high, low, stamp, sequence)) from = middle + 1;
      else to = middle;
    }
    this.#leaf = first;
    this.#place = from;
  }

  /** Whether an entry comes before what is sought: a smaller key, or a version of the key that is too new. */
  #isBefore(
    leaf: Leaf,
    place: number,
    key: Bytes,
    high: number,
    low: number,
    stamp: number,
    sequence: number,
  ): boolean {
    const leafHigh = leaf.high[place]!;
    if (leafHigh !== high) return leafHigh < high;
    const leafLow = leaf.low[place]!;
    if (leafLow !== low) return leafLow < low;
    const address = leaf.addresses[place]!;
    // Shorter keys are filled up with zeros: equal prefixes of such keys leave the lengths to decide.
    const order = this.#memory.compareKey(address, key, prefixBytes);
    if (order !== 0) return order < 0;
    return this.#memory.stamp(address) > stamp || this.#memory.sequence(address) > sequence;
  }

  /** Halves a full leaf, and returns the half in which the place that was found now is. */
  #split(leaf: Leaf): Leaf {
    const half = leafPlaces >>> 1;
    const added = this.#newLeaf();
    added.high.set(leaf.high.subarray(half));
    added.low.set(leaf.low.subarray(half));
    added.addresses.set(leaf.addresses.subarray(half));
    added.count = leafPlaces - half;
    leaf.count = half;
    this.#leaves.splice(this.#leaf + 1, 0, added);
    if (this.#place <= half) return leaf;
    this.#leaf++;
    this.#place -= half;
    return added;
  }

  #newLeaf(): Leaf {
    if (this.#slabUsed === this.#slabLeaves) {
      // The first slab is small, since a small store is common.
      this.#slabLeaves = this.#slabs.length === 0 ? 1 : leavesPerSlab;
      this.#slabs.push(new SharedArrayBuffer(this.#slabLeaves * leafPlaces * 4));
      this.#slabUsed = 0;
    }
    const slab = this.#slabs.length - 1;
    const slabPlace = this.#slabUsed++;
    return {
      high: new Uint32Array(leafPlaces),
      low: new Uint32Array(leafPlaces),
      addresses: new Uint32Array(this.#slabs[slab]!, slabPlace * leafPlaces * 4, leafPlaces),
      slab,
      slabPlace,
      count: 0,
    };
  }
}

/** Four bytes of a key as a number in byte order; zeros where the key has ended. */
function prefix(key: Bytes, from: number): number {
  if (key.length >= from + 4)
    return ((key[from]! << 24) | (key[from + 1]! << 16) | (key[from + 2]! << 8) | key[from + 3]!) >>> 0;
  let value = 0;
  for (let at = from; at < from + 4; at++) value = value * 256 + (key[at] ?? 0);
  return value;
}
