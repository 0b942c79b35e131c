import type { Table as TableBlocks, Tables } from "../env/tables.ts";
import { assert } from "../lib/assert.ts";
import { type Bytes, compareBytes, emptyBytes, equalBytes, fromUtf8Strict, toHex } from "../lib/bytes.ts";
import { DecodeError, readU32 } from "../lib/codec.ts";
import { KvraftError } from "../lib/error.ts";
import { checkBlock, openBlock, RowBlock, RowPointer } from "./block.ts";
import type { BlockCache } from "./block-cache.ts";
import { BlockIndex, sharedBytesOf } from "./block-index.ts";
import { mayContain } from "./bloom-filter.ts";
import { corruption } from "./corruption.ts";
import { runPath } from "./folder-names.ts";
import type { TableFile } from "./manifest.ts";
import { isTombstoneRecord } from "./record.ts";
import { decodeFooter, metaBlocks, type TableFooter } from "./table-footer.ts";

/** A version of a key as it is stored. */
export interface StoredVersion {
  readonly sequence: number;
  /** An encoded record (record.ts), not to be written to. */
  readonly record: Bytes;
}

/**
 * An open file of a run: closed when nobody holds it any more. All that is read is checked, and what is not as it was
 * written is CORRUPTION that names the file.
 */
export class Table {
  readonly file: TableFile;
  readonly path: string;
  readonly footer: TableFooter;
  readonly #blocks: TableBlocks;
  readonly #index: BlockIndex;
  /** Read when it is asked for the first time. */
  #filter: Bytes | undefined;
  readonly #cache: BlockCache | undefined;
  readonly #released: (table: Table) => void;
  /** Where the last read has looked: kept, so that a read makes no garbage. */
  readonly #pointer = new RowPointer(emptyBytes);
  #holders = 1;

  /** `released` is told when nobody holds it any more; it is closed then. */
  constructor(
    tables: Tables,
    folder: string,
    file: TableFile,
    cache: BlockCache | undefined,
    released: (table: Table) => void = () => {},
  ) {
    this.file = file;
    this.path = runPath(folder, file.number);
    this.#cache = cache;
    this.#released = released;
    this.#blocks = tables.open(this.path);
    try {
      this.footer = this.#readFooter();
      this.#index = this.decoding(() => this.#readIndex());
      if (this.#index.blocks !== this.footer.dataBlocks)
        throw this.damaged(`its index is of ${this.#index.blocks} blocks, not ${this.footer.dataBlocks}`);
    } catch (error) {
      this.#blocks.close();
      throw error;
    }
  }

  /** Memory that the open file takes for its filter and its index. */
  get residentBytes(): number {
    return (this.#filter?.length ?? 0) + this.#index.bytes;
  }

  hold(): void {
    assert(this.#holders > 0, "a closed run is not held again");
    this.#holders++;
  }

  release(): void {
    assert(this.#holders > 0, "a run is released once per holder");
    this.#holders--;
    if (this.#holders > 0) return;
    this.#blocks.close();
    this.#released(this);
  }

  /** Whether a key with this hash may be in the file. */
  mayContain(hash: number): boolean {
    this.#filter ??= this.payload(this.footer.dataBlocks);
    return mayContain(this.#filter, hash);
  }

  /**
   * The newest version of the key at or below `sequence`. Damage on the way to it is CORRUPTION that names the
   * key, too.
   */
  get(key: Bytes, sequence: number): StoredVersion | undefined {
    try {
      const version = this.#find(key, sequence);
      // Those who look into a record do not know any more which file it came from.
      if (version !== undefined) isTombstoneRecord(version.record);
      return version;
    } catch (thrown) {
      const error = thrown instanceof DecodeError ? this.damaged(thrown.message, thrown) : thrown;
      if (!(error instanceof KvraftError && error.code === "CORRUPTION")) throw error;
      throw new KvraftError("CORRUPTION", `Cannot read the key ${keyForPeople(key)}: ${error.message}`, {
        cause: error,
      });
    }
  }

  /** A block of rows. Scans leave the cache alone, so that they do not wash out what points need. */
  rows(block: number, isCached: boolean): RowBlock {
    const cached = this.#cache?.get(this.file.number, block);
    if (cached !== undefined) return cached;
    const rows = this.#readRows(block);
    if (isCached) this.#cache?.add(this.file.number, block, rows);
    return rows;
  }

  /** The first row whose key is at or after the key. */
  lowerBound(block: RowBlock, pointer: RowPointer, key: Bytes): number {
    let from = 0;
    let to = block.count;
    while (from < to) {
      const middle = (from + to) >>> 1;
      this.load(pointer, block, middle);
      if (pointer.compareKey(key) < 0) from = middle + 1;
      else to = middle;
    }
    return from;
  }

  load(pointer: RowPointer, block: RowBlock, row: number): void {
    try {
      pointer.load(block, row);
    } catch (error) {
      throw error instanceof DecodeError ? this.damaged(error.message, error) : error;
    }
  }

  #readIndex(): BlockIndex {
    const { smallest, largest } = this.file;
    return new BlockIndex(this.payload(this.footer.dataBlocks + 1), sharedBytesOf(smallest, largest));
  }

  /** The first block that may hold the key: a key outside of the file's range is in none, and goes to either end. */
  blockOf(key: Bytes): number {
    if (compareBytes(key, this.file.smallest) <= 0) return 0;
    if (compareBytes(key, this.file.largest) > 0) return this.footer.dataBlocks - 1;
    return this.#index.blockOf(key);
  }

  #readRows(block: number): RowBlock {
    const bytes = this.#blocks.block(block);
    try {
      checkBlock(bytes, this.file.number, block);
      return new RowBlock(bytes);
    } catch (error) {
      throw error instanceof DecodeError ? this.damaged(error.message, error) : error;
    }
  }

  /** The payload of any block, checked. */
  payload(block: number): Bytes {
    return this.decoding(() => openBlock(this.#blocks.block(block), this.file.number, block));
  }

  /** The checksum at the end of a block, which was checked. */
  checksumOf(block: number): Bytes {
    const bytes = this.#blocks.block(block);
    this.decoding(() => openBlock(bytes, this.file.number, block));
    return bytes.subarray(bytes.length - 4);
  }

  /** Runs what looks into the file's bytes: what makes no sense there is CORRUPTION. */
  decoding<T>(run: () => T): T {
    try {
      return run();
    } catch (error) {
      throw error instanceof DecodeError ? this.damaged(error.message, error) : error;
    }
  }

  damaged(what: string, cause?: unknown): Error {
    return corruption(`read run "${this.path}"`, `the file is damaged (${what})`, cause);
  }

  #find(key: Bytes, sequence: number): StoredVersion | undefined {
    const pointer = this.#pointer;
    for (let at = this.#index.blockOf(key); at < this.footer.dataBlocks; at++) {
      const block = this.rows(at, true);
      for (let row = this.lowerBound(block, pointer, key); row < block.count; row++) {
        this.load(pointer, block, row);
        if (pointer.compareKey(key) !== 0) return undefined;
        if (pointer.sequence <= sequence) return { sequence: pointer.sequence, record: pointer.record() };
      }
    }
    return undefined;
  }

  /** Another file in the place of this one, of the same size, may be whole in itself: only MANIFEST can tell. */
  #readFooter(): TableFooter {
    const { blocks, checksum, rows, smallest, largest } = this.file;
    const bytes = this.#blocks.block(blocks - 1);
    const footer = this.decoding(() => decodeFooter(openBlock(bytes, this.file.number, blocks - 1)));
    const isKnown =
      readU32(bytes, bytes.length - 4) === checksum &&
      footer.rows === rows &&
      footer.dataBlocks === blocks - metaBlocks &&
      equalBytes(footer.smallest, smallest) &&
      equalBytes(footer.largest, largest);
    if (!isKnown) throw this.damaged("it is not the one that MANIFEST names");
    return footer;
  }
}

/** Text in quotes where it is some, else hexadecimal digits; the first 64 bytes of it. */
export function keyForPeople(key: Bytes): string {
  const shown = key.subarray(0, keyBytesShown);
  const text = fromUtf8Strict(shown);
  const isText = text !== undefined && !/\p{C}/u.test(text);
  const more = key.length > keyBytesShown ? "..." : "";
  return isText ? `${JSON.stringify(text)}${more}` : `0x${toHex(shown)}${more}`;
}

const keyBytesShown = 64;
