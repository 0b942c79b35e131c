import { pageBlockBytes } from "../env/tables.ts";
import type { RowBlock } from "./block.ts";

/** Places that a block may have. */
const ways = 4;
/** Blocks of one file have numbers below this. */
const blocksPerFileMax = 2 ** 24;

/**
 * Blocks that were read lately and checked. A block has one of four places, by its number, and takes that of the one
 * that came first. Blocks that are larger than a page are not kept.
 */
export class BlockCache {
  readonly #sets: number;
  readonly #keys: Float64Array;
  readonly #blocks: (RowBlock | undefined)[];
  /** The place of each set that is taken next. */
  readonly #next: Uint8Array;
  #count = 0;

  constructor(bytesMax: number) {
    this.#sets = Math.floor(bytesMax / pageBlockBytes / ways);
    this.#keys = new Float64Array(this.#sets * ways);
    this.#blocks = new Array(this.#sets * ways).fill(undefined);
    this.#next = new Uint8Array(this.#sets);
  }

  /** Bytes in use, about. */
  get bytes(): number {
    return this.#count * pageBlockBytes;
  }

  get(file: number, block: number): RowBlock | undefined {
    if (this.#sets === 0) return undefined;
    const key = file * blocksPerFileMax + block;
    const first = this.#setOf(file, block) * ways;
    for (let at = first; at < first + ways; at++) if (this.#keys[at] === key) return this.#blocks[at];
    return undefined;
  }

  add(file: number, block: number, rows: RowBlock): void {
    if (this.#sets === 0 || rows.bytes.length > pageBlockBytes) return;
    const set = this.#setOf(file, block);
    const at = set * ways + this.#next[set]!;
    this.#next[set] = (this.#next[set]! + 1) % ways;
    if (this.#blocks[at] === undefined) this.#count++;
    this.#keys[at] = file * blocksPerFileMax + block;
    this.#blocks[at] = rows;
  }

  #setOf(file: number, block: number): number {
    return ((Math.imul(file, 0x9e3779b1) ^ Math.imul(block, 0x85ebca6b)) >>> 0) % this.#sets;
  }
}
