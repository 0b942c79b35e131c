/** A leaf of a memtable's index: up to `leafPlaces` addresses of entries, in the order of their keys. */
export interface Leaf {
  /** How many leading bytes all keys share; the heads are of what comes behind them. */
  shared: number;
  readonly high: Uint32Array;
  readonly low: Uint32Array;
  readonly addresses: Uint32Array;
  /** The head of the first key, behind what the first keys of all leaves but the first one share. */
  firstHigh: number;
  firstLow: number;
  /** The number of its slab in the index. */
  slab: number;
  readonly slabPlace: number;
  count: number;
}

export const leafPlaces = 256;
const leavesPerSlab = 64;
const wordBytes = 4;
/** An address and a head of eight bytes. */
const placeBytes = 3 * wordBytes;
const slabBytes = leavesPerSlab * leafPlaces * placeBytes;

/** Leaves that are made at once, and used again together. Their addresses are memory that a worker shares. */
export class LeafSlab {
  readonly addresses: SharedArrayBuffer;
  readonly leaves: readonly Leaf[];

  /** The first slab of an index is small, since a small store is common. */
  constructor(isFirst: boolean) {
    const count = isFirst ? 1 : leavesPerSlab;
    const leafBytes = leafPlaces * wordBytes;
    this.addresses = new SharedArrayBuffer(count * leafBytes);
    const heads = new ArrayBuffer(2 * count * leafBytes);
    this.leaves = Array.from({ length: count }, (_, slabPlace) => ({
      shared: 0,
      high: new Uint32Array(heads, 2 * slabPlace * leafBytes, leafPlaces),
      low: new Uint32Array(heads, (2 * slabPlace + 1) * leafBytes, leafPlaces),
      addresses: new Uint32Array(this.addresses, slabPlace * leafBytes, leafPlaces),
      firstHigh: 0,
      firstLow: 0,
      slab: 0,
      slabPlace,
      count: 0,
    }));
  }
}

/** Slabs that nobody uses. A memtable's leaves live for a second: a collector of young garbage may take them for old. */
export class LeafPool {
  readonly #free: LeafSlab[] = [];
  readonly #slabsMax: number;

  /** Keeps up to so many bytes. */
  constructor(bytesMax: number) {
    this.#slabsMax = Math.floor(bytesMax / slabBytes);
  }

  take(): LeafSlab {
    return this.#free.pop() ?? new LeafSlab(false);
  }

  /** Takes back slabs that nobody looks at any more. */
  give(slabs: readonly LeafSlab[]): void {
    for (const slab of slabs) {
      if (this.#free.length >= this.#slabsMax) return;
      if (slab.leaves.length === leavesPerSlab) this.#free.push(slab);
    }
  }
}
