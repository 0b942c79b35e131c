import { type Bytes, emptyBytes } from "../lib/bytes.ts";
import { offsetBits, offsetMask } from "./arena.ts";
import { type RowBlock, RowPointer } from "./block.ts";
import { leafPlaces } from "./leaf-slab.ts";
import type { RunPart, TableFile } from "./manifest.ts";
import type { MemtableParts } from "./memtable.ts";
import { type EntryMemory, entryHeaderBytes } from "./memtable-entry.ts";
import type { Table } from "./table.ts";

/**
 * Rows in order, one at a time, for a merge: where a row's key and record lie in `bytes`. What was read stays as it
 * is when the source moves on.
 */
export interface RowSource {
  readonly isValid: boolean;
  readonly bytes: Bytes;
  readonly keyStart: number;
  readonly keyEnd: number;
  readonly recordEnd: number;
  readonly sequence: number;
  advance(): void;
}

/** The rows of a run that belong to it. Its files are opened one after the other. */
export class RunSource implements RowSource {
  isValid = true;
  readonly #parts: readonly RunPart[];
  readonly #open: (file: TableFile) => Table;
  readonly #pointer = new RowPointer(emptyBytes);
  #part = -1;
  #table: Table | undefined;
  #blockNumber = 0;
  #block: RowBlock | undefined;
  /** Rows that were seen, of those that the present file has. */
  #rows = 0;

  constructor(parts: readonly RunPart[], open: (file: TableFile) => Table) {
    this.#parts = parts;
    this.#open = open;
    try {
      this.#nextPart();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  get bytes(): Bytes {
    return this.#pointer.bytes;
  }

  get keyStart(): number {
    return this.#pointer.keyStart;
  }

  get keyEnd(): number {
    return this.#pointer.keyEnd;
  }

  get recordEnd(): number {
    return this.#pointer.recordEnd;
  }

  get sequence(): number {
    return this.#pointer.sequence;
  }

  advance(): void {
    const table = this.#table!;
    const row = this.#pointer.row + 1;
    this.#rows++;
    if (row < this.#block!.count) table.load(this.#pointer, this.#block!, row);
    else if (this.#blockNumber + 1 < table.footer.dataBlocks) this.#load(table, this.#blockNumber + 1);
    else this.#endPart(table);
  }

  /** Lets go of the file that is open. */
  close(): void {
    this.#table?.release();
    this.#table = undefined;
    this.isValid = false;
  }

  #endPart(table: Table): void {
    const { rows } = table.file;
    const isWhole = this.#parts[this.#part]!.from === undefined;
    if (isWhole && this.#rows !== rows)
      throw table.damaged(`it has ${this.#rows} rows, MANIFEST names ${rows}`);
    this.close();
    this.#nextPart();
  }

  #nextPart(): void {
    const part = this.#parts[++this.#part];
    this.isValid = part !== undefined;
    if (part === undefined) return;
    this.#rows = 0;
    const table = this.#open(part.file);
    this.#table = table;
    const { from } = part;
    this.#load(table, from === undefined ? 0 : table.blockOf(from));
    while (from !== undefined && this.#pointer.compareKey(from) < 0) this.advance();
  }

  #load(table: Table, blockNumber: number): void {
    this.#blockNumber = blockNumber;
    this.#block = table.rows(blockNumber, false);
    table.load(this.#pointer, this.#block, 0);
  }
}

/** The versions of a sealed memtable, in another thread's memory. */
export class MemtableSource implements RowSource {
  isValid = true;
  bytes: Bytes = emptyBytes;
  keyStart = 0;
  keyEnd = 0;
  recordEnd = 0;
  sequence = 0;
  readonly #memory: EntryMemory;
  readonly #slabs: readonly Uint32Array[];
  readonly #leaves: Uint32Array;
  #leaf = 0;
  #place = -1;

  constructor(parts: MemtableParts, memory: EntryMemory) {
    this.#memory = memory;
    this.#slabs = parts.index.slabs.map((slab) => new Uint32Array(slab));
    this.#leaves = parts.index.leaves;
    this.advance();
  }

  advance(): void {
    this.#place++;
    while (this.#place >= this.#leaves[this.#leaf * 3 + 2]!) {
      this.#leaf++;
      this.#place = 0;
      if (this.#leaf * 3 >= this.#leaves.length) {
        this.isValid = false;
        return;
      }
    }
    const at = this.#leaf * 3;
    const address = this.#slabs[this.#leaves[at]!]![this.#leaves[at + 1]! * leafPlaces + this.#place]!;
    const words = this.#memory.words[address >>> offsetBits]!;
    const word = (address & offsetMask) >>> 2;
    this.bytes = this.#memory.chunks[address >>> offsetBits]!;
    this.keyStart = (address & offsetMask) + entryHeaderBytes;
    this.keyEnd = this.keyStart + words[word]!;
    this.recordEnd = this.keyEnd + words[word + 1]!;
    this.sequence = this.#memory.sequence(address);
  }
}
