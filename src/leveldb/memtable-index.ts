/**
 * The order of a memtable: addresses of entries, by key, and of one key the newest first. A list of leaves of up to
 * 256 places each; a place is found by two binary searches, over the leaves and in one. Most comparisons are of eight
 * bytes that stand beside an address: the first ones behind those that all keys of the leaf share. The addresses are
 * shared memory: the worker that makes a run of the memtable walks them as they are.
 */
import type { Bytes } from "../lib/bytes.ts";
import { headOf } from "./key-head.ts";
import { type Leaf, type LeafPool, LeafSlab, leafPlaces } from "./leaf-slab.ts";
import type { EntryMemory } from "./memtable-entry.ts";

/** How many bytes of a key stand beside its address, as two numbers. */
const headBytes = 8;

/** Where the leaves are, for another thread: of each its slab, its place in it, and how many addresses it has. */
export interface IndexParts {
  readonly slabs: readonly SharedArrayBuffer[];
  readonly leaves: Uint32Array;
}

/** A place in the order: good until the next insertion, which `epoch` counts. */
export interface Place {
  leaf: number;
  place: number;
}

export class MemtableIndex {
  epoch = 0;
  readonly #memory: EntryMemory;
  readonly #pool: LeafPool;
  readonly #slabs: LeafSlab[] = [];
  readonly #leaves: Leaf[] = [];
  /** How many leading bytes the first keys of all leaves but the first one share: that one's is never compared. */
  #shared = Infinity;
  /** Leaves of the last slab that are in use. */
  #slabUsed = 0;
  /** What `seek` has found: kept here, so that a put makes no garbage. */
  #leaf = 0;
  #place = 0;

  constructor(memory: EntryMemory, pool: LeafPool) {
    this.#memory = memory;
    this.#pool = pool;
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
    const shared =
      leaf.count === 0 ? key.length : this.#memory.sharedWith(leaf.addresses[0]!, key, leaf.shared);
    if (shared < leaf.shared || leaf.count === 0) this.#share(leaf, shared);
    if (place < leaf.count) {
      leaf.high.copyWithin(place + 1, place, leaf.count);
      leaf.low.copyWithin(place + 1, place, leaf.count);
      leaf.addresses.copyWithin(place + 1, place, leaf.count);
    }
    leaf.high[place] = headOf(key, shared, key.length);
    leaf.low[place] = headOf(key, shared + 4, key.length);
    leaf.addresses[place] = address;
    leaf.count++;
    if (place === 0) this.#noteFirst(leaf);
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
    return { slabs: this.#slabs.map(({ addresses }) => addresses), leaves };
  }

  /** Gives the memory back. Nobody looks at it any more, and nobody can: there are no leaves then. */
  release(): void {
    this.#pool.give(this.#slabs);
    this.#slabs.length = 0;
    this.#leaves.length = 0;
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
    this.#leaf = this.#leafOf(key, stamp, sequence);
    const leaf = this.#leaves[this.#leaf]!;
    const { shared, count } = leaf;
    const order =
      count === 0 || shared === 0 ? 0 : this.#memory.compareStart(leaf.addresses[0]!, key, shared);
    if (order !== 0) {
      this.#place = order < 0 ? count : 0;
      return;
    }
    const high = headOf(key, shared, key.length);
    const low = headOf(key, shared + 4, key.length);
    let from = 0;
    let to = count;
    while (from < to) {
      const middle = (from + to) >>> 1;
      const difference = leaf.high[middle]! - high || leaf.low[middle]! - low;
      const address = leaf.addresses[middle]!;
      const isBefore =
        difference === 0 ? this.#isBefore(address, key, shared + headBytes, stamp, sequence) : difference < 0;
      if (isBefore) from = middle + 1;
      else to = middle;
    }
    this.#place = from;
  }

  /** The last leaf whose first entry comes before what is sought; the first when none does. */
  #leafOf(key: Bytes, stamp: number, sequence: number): number {
    let first = 0;
    let last = this.#leaves.length - 1;
    if (last === 0) return 0;
    const shared = this.#shared;
    const order = shared === 0 ? 0 : this.#memory.compareStart(this.#leaves[1]!.addresses[0]!, key, shared);
    if (order !== 0) return order < 0 ? last : 0;
    const high = headOf(key, shared, key.length);
    const low = headOf(key, shared + 4, key.length);
    while (first < last) {
      const middle = (first + last + 1) >>> 1;
      const leaf = this.#leaves[middle]!;
      const difference = leaf.firstHigh - high || leaf.firstLow - low;
      const address = leaf.addresses[0]!;
      const isBefore =
        difference === 0 ? this.#isBefore(address, key, shared + headBytes, stamp, sequence) : difference < 0;
      if (isBefore) first = middle;
      else last = middle - 1;
    }
    return first;
  }

  /**
   * Whether an entry comes before what is sought: a smaller key, or a version of the key that is too new. The keys are
   * equal up to byte `from`; where one has ended before, it was filled up with zeros, and the lengths decide.
   */
  #isBefore(address: number, key: Bytes, from: number, stamp: number, sequence: number): boolean {
    const order = this.#memory.compareKey(address, key, from);
    if (order !== 0) return order < 0;
    return this.#memory.stamp(address) > stamp || this.#memory.sequence(address) > sequence;
  }

  /** All keys of the leaf share so many bytes: their heads are of what comes behind. */
  #share(leaf: Leaf, shared: number): void {
    leaf.shared = shared;
    for (let at = 0; at < leaf.count; at++) {
      leaf.high[at] = this.#memory.head(leaf.addresses[at]!, shared);
      leaf.low[at] = this.#memory.head(leaf.addresses[at]!, shared + 4);
    }
  }

  /** The leaf has another first key than before. */
  #noteFirst(leaf: Leaf): void {
    if (leaf === this.#leaves[0]) return;
    const key = this.#memory.key(leaf.addresses[0]!);
    const other = this.#leaves[1] === leaf ? this.#leaves[2] : this.#leaves[1];
    const shared =
      other === undefined ? key.length : this.#memory.sharedWith(other.addresses[0]!, key, this.#shared);
    if (shared < this.#shared) {
      this.#shared = shared;
      for (let at = 1; at < this.#leaves.length; at++) this.#setFirst(this.#leaves[at]!);
    } else this.#setFirst(leaf);
  }

  #setFirst(leaf: Leaf): void {
    leaf.firstHigh = this.#memory.head(leaf.addresses[0]!, this.#shared);
    leaf.firstLow = this.#memory.head(leaf.addresses[0]!, this.#shared + 4);
  }

  /** Halves a full leaf, and returns the half in which the place that was found now is. */
  #split(leaf: Leaf): Leaf {
    const half = leafPlaces >>> 1;
    const added = this.#newLeaf();
    added.addresses.set(leaf.addresses.subarray(half));
    added.count = leafPlaces - half;
    leaf.count = half;
    for (const each of [leaf, added]) {
      const [first, last] = [each.addresses[0]!, each.addresses[each.count - 1]!];
      this.#share(each, this.#memory.sharedWith(first, this.#memory.key(last), Infinity));
    }
    this.#leaves.splice(this.#leaf + 1, 0, added);
    this.#noteFirst(added);
    if (this.#place <= half) return leaf;
    this.#leaf++;
    this.#place -= half;
    return added;
  }

  #newLeaf(): Leaf {
    let slab = this.#slabs.at(-1);
    if (slab === undefined || this.#slabUsed === slab.leaves.length) {
      slab = slab === undefined ? new LeafSlab(true) : this.#pool.take();
      this.#slabs.push(slab);
      this.#slabUsed = 0;
    }
    const leaf = slab.leaves[this.#slabUsed++]!;
    leaf.slab = this.#slabs.length - 1;
    leaf.count = 0;
    leaf.shared = 0;
    return leaf;
  }
}
