import { pageBlockBytes, type TableBuilder } from "../env/tables.ts";
import { assert } from "../lib/assert.ts";
import { type Bytes, copyBytes, copyRange, emptyBytes } from "../lib/bytes.ts";
import { crc32 } from "../lib/checksum.ts";
import { checksumBytes, rowsTrailerBytes, sealBlock, writeU32 } from "./block.ts";
import { BlockIndexBuilder } from "./block-index.ts";
import { buildFilter } from "./bloom-filter.ts";
import { hashRange } from "./key-hash.ts";
import { type KeySample, KeySampler } from "./key-sample.ts";
import type { TableFile } from "./manifest.ts";
import { isTombstoneAt } from "./record.ts";
import { chainSeed, encodeFooter, metaBlocks } from "./table-footer.ts";

/** Three varints of 8 bytes. */
const rowHeaderBytesMax = 24;
const offsetBytes = 4;

/**
 * Turns rows that come in order into the blocks of one file, and knows at the end what MANIFEST says about it. A
 * block fills one page of the file, unless one row alone is larger.
 */
export class TableWriter {
  readonly #number: number;
  readonly #table: TableBuilder;
  readonly #index = new BlockIndexBuilder();
  readonly #sampler = new KeySampler();
  #hashes = new Uint32Array(1024);
  #keys = 0;
  #rows = 0;
  #blocks = 0;
  #chain = chainSeed;
  #bytes = 0;
  #contentBytes = 0;
  #sequenceMin = Number.MAX_SAFE_INTEGER;
  #sequenceMax = 0;
  #smallest: Bytes = emptyBytes;
  /** The last row's key, in a buffer of its own: what it came from may be gone. */
  #last = new Uint8Array(64);
  #lastLength = -1;
  #lastSequence = 0;
  /** The block that is being filled: rows, and where each begins. */
  #block = new Uint8Array(2 * pageBlockBytes);
  #used = 0;
  #offsets = new Uint32Array(256);
  #count = 0;

  constructor(number: number, table: TableBuilder) {
    this.#number = number;
    this.#table = table;
  }

  /** Bytes of blocks so far. */
  get bytes(): number {
    return this.#bytes + this.#used;
  }

  get rows(): number {
    return this.#rows;
  }

  /** A copy of the last key. Requires a row. */
  lastKey(): Bytes {
    assert(this.#lastLength >= 0, "a file has a row before it has a last key");
    return this.#last.slice(0, this.#lastLength);
  }

  /**
   * Adds a row whose key lies at [keyStart, keyEnd) of `bytes`, and its record behind it up to `recordEnd`. Rows
   * ascend by key, and descend by sequence number within a key.
   */
  add(bytes: Bytes, keyStart: number, keyEnd: number, recordEnd: number, sequence: number): void {
    const order = this.#compareLast(bytes, keyStart, keyEnd);
    assert(order < 0 || (order === 0 && sequence < this.#lastSequence), "rows go into a run in order");
    this.#makeRoom(bytes, keyStart, keyEnd, recordEnd);
    if (order !== 0) this.#noteKey(bytes, keyStart, keyEnd, recordEnd);
    this.#noteRow(recordEnd - keyStart, sequence);
    if (this.#count === this.#offsets.length) this.#offsets = grown(this.#offsets);
    this.#offsets[this.#count++] = this.#used;
    this.#varint(sequence);
    this.#varint(keyEnd - keyStart);
    this.#varint(recordEnd - keyEnd);
    copyRange(bytes, keyStart, recordEnd, this.#block, this.#used);
    this.#used += recordEnd - keyStart;
  }

  /** Completes the file: its content is durable when it returns, `bytes` is to be filled in. Requires a row. */
  finish(): Omit<TableFile, "bytes"> & { readonly sample: KeySample } {
    assert(this.#rows > 0, "a run has rows");
    this.#endBlock();
    const dataBlocks = this.#blocks;
    this.#addMeta(buildFilter(this.#hashes.subarray(0, this.#keys)));
    this.#addMeta(this.#index.finish());
    const footer = {
      rows: this.#rows,
      keys: this.#keys,
      dataBlocks,
      sequenceMin: this.#sequenceMin,
      sequenceMax: this.#sequenceMax,
      contentBytes: this.#contentBytes,
      smallest: this.#smallest,
      largest: this.lastKey(),
      chain: this.#chain,
      sample: this.#sampler.take(),
    };
    const checksum = this.#addMeta(encodeFooter(footer));
    assert(this.#blocks === dataBlocks + metaBlocks, "filter, index and footer end a file");
    this.#table.finish();
    const { rows, smallest, largest, sample } = footer;
    return { number: this.#number, rows, blocks: this.#blocks, checksum, smallest, largest, sample };
  }

  abandon(): void {
    this.#table.abandon();
  }

  #compareLast(bytes: Bytes, keyStart: number, keyEnd: number): number {
    if (this.#lastLength < 0) return -1;
    const last = this.#last;
    const length = keyEnd - keyStart;
    const limit = Math.min(this.#lastLength, length);
    for (let at = 0; at < limit; at++) {
      const difference = last[at]! - bytes[keyStart + at]!;
      if (difference !== 0) return difference;
    }
    return this.#lastLength - length;
  }

  #makeRoom(bytes: Bytes, keyStart: number, keyEnd: number, recordEnd: number): void {
    const rowBytes = rowHeaderBytesMax + recordEnd - keyStart;
    const trailer = offsetBytes * (this.#count + 1) + rowsTrailerBytes + checksumBytes;
    if (this.#count > 0 && this.#used + rowBytes + trailer > pageBlockBytes) {
      this.#endBlock();
      this.#index.add(this.#last.subarray(0, this.#lastLength), bytes.subarray(keyStart, keyEnd));
    }
    const wanted = this.#used + rowBytes + trailer;
    if (wanted <= this.#block.length) return;
    const larger = new Uint8Array(wanted);
    larger.set(this.#block.subarray(0, this.#used));
    this.#block = larger;
  }

  #noteKey(bytes: Bytes, keyStart: number, keyEnd: number, recordEnd: number): void {
    const hash = hashRange(bytes, keyStart, keyEnd);
    if (this.#keys === this.#hashes.length) this.#hashes = grown(this.#hashes);
    this.#hashes[this.#keys++] = hash;
    this.#sampler.add(hash, isTombstoneAt(bytes, keyEnd) ? 0 : recordEnd - keyStart);
    const length = keyEnd - keyStart;
    if (this.#rows === 0) this.#smallest = copyBytes(bytes.subarray(keyStart, keyEnd));
    if (length > this.#last.length) this.#last = new Uint8Array(2 * length);
    const last = this.#last;
    for (let at = 0; at < length; at++) last[at] = bytes[keyStart + at]!;
    this.#lastLength = length;
  }

  #noteRow(contentBytes: number, sequence: number): void {
    this.#rows++;
    this.#contentBytes += contentBytes;
    this.#lastSequence = sequence;
    if (sequence < this.#sequenceMin) this.#sequenceMin = sequence;
    if (sequence > this.#sequenceMax) this.#sequenceMax = sequence;
  }

  #varint(value: number): void {
    const block = this.#block;
    let rest = value;
    for (; rest >= 0x1_0000_0000; rest = Math.floor(rest / 128)) block[this.#used++] = (rest % 128) | 0x80;
    for (; rest > 0x7f; rest >>>= 7) block[this.#used++] = (rest & 0x7f) | 0x80;
    block[this.#used++] = rest;
  }

  #endBlock(): void {
    const block = this.#block;
    let at = this.#used;
    for (let row = 0; row < this.#count; row++, at += offsetBytes) writeU32(block, at, this.#offsets[row]!);
    writeU32(block, at, this.#count);
    this.#addSealed(block, at + rowsTrailerBytes);
    // A row of megabytes has made it large: the next block is an ordinary one.
    if (block.length > 4 * pageBlockBytes) this.#block = new Uint8Array(2 * pageBlockBytes);
    this.#used = 0;
    this.#count = 0;
  }

  #addMeta(payload: Bytes): number {
    const block = new Uint8Array(payload.length + checksumBytes);
    block.set(payload);
    return this.#addSealed(block, payload.length);
  }

  /** Returns the checksum. */
  #addSealed(block: Bytes, end: number): number {
    const checksum = sealBlock(block, end, this.#number, this.#blocks++);
    this.#table.add(block.subarray(0, end + checksumBytes));
    this.#bytes += end + checksumBytes;
    this.#chain = crc32(block.subarray(end, end + checksumBytes), this.#chain);
    return checksum;
  }
}

function grown(words: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(2 * words.length);
  larger.set(words);
  return larger;
}
