/**
 * Rows on their way from one store to another, a chunk at a time: over the wire, or into a backup.
 *
 *     rows = row*, strictly ascending by key, across chunks, too
 *     row  = sequence:varint keyLength:varint recordLength:varint key record
 *
 * A row is that of a block (block.ts), and its record (record.ts) is a complete one, of no tombstone: a key has one row,
 * and nothing older than the row is needed. Example: the key "k" with the value "hi", put at sequence 300 for the
 * first time:
 *
 *     AC 02  01  07  6B  01 02 AC 02 01 68 69
 */
import { type Bytes, copyRange, emptyBytes } from "../lib/bytes.ts";
import { ByteReader, DecodeError } from "../lib/codec.ts";
import type { RowSink } from "./merge.ts";
import { decodeRecord } from "./record.ts";
import type { RowSource } from "./row-source.ts";

/** Three varints of 8 bytes. */
const rowHeaderBytesMax = 24;

/** A live key with its newest version: good for as long as the caller keeps it. */
export interface LiveRow {
  readonly key: Bytes;
  readonly sequence: number;
  /** As it is stored, and complete (record.ts). */
  readonly record: Bytes;
}

/** Throws DecodeError for anything but whole rows in order, when it gets there. */
export function* decodeRows(bytes: Bytes): IterableIterator<LiveRow> {
  for (const rows = new RowChunk(bytes); rows.isValid; rows.advance()) {
    const { keyStart, keyEnd, recordEnd, sequence } = rows;
    yield { key: bytes.subarray(keyStart, keyEnd), sequence, record: bytes.subarray(keyEnd, recordEnd) };
  }
}

/**
 * The rows of a chunk that may hold anything: what is not as the grammar has it is a DecodeError, thrown by the
 * constructor for the first row, and by `advance` for the others.
 */
export class RowChunk implements RowSource {
  isValid = true;
  readonly bytes: Bytes;
  keyStart = 0;
  keyEnd = 0;
  recordEnd = 0;
  sequence = 0;
  readonly #reader: ByteReader;

  /** Its keys have to be above `above`. */
  constructor(bytes: Bytes, above?: Bytes) {
    this.bytes = bytes;
    this.#reader = new ByteReader(bytes);
    this.#load();
    if (this.isValid && above !== undefined) this.#checkAbove(above, 0, above.length);
  }

  advance(): void {
    const { keyStart, keyEnd } = this;
    this.#load();
    if (this.isValid) this.#checkAbove(this.bytes, keyStart, keyEnd);
  }

  #load(): void {
    const reader = this.#reader;
    if (reader.remaining === 0) {
      this.isValid = false;
      return;
    }
    this.sequence = reader.varint();
    const keyLength = reader.varint();
    const recordLength = reader.varint();
    this.keyStart = reader.offset;
    reader.raw(keyLength);
    this.keyEnd = reader.offset;
    this.#checkRecord(reader.raw(recordLength));
    this.recordEnd = reader.offset;
  }

  #checkRecord(bytes: Bytes): void {
    const { isTombstone, isComplete, created, count } = decodeRecord(bytes);
    if (isTombstone) throw new DecodeError("a row is a tombstone");
    if (!isComplete || count < 1 || created > this.sequence)
      throw new DecodeError("a row does not say when its key was created");
  }

  #checkAbove(other: Bytes, start: number, end: number): void {
    const { bytes, keyStart } = this;
    const length = this.keyEnd - keyStart;
    const limit = Math.min(length, end - start);
    for (let at = 0; at < limit; at++) {
      const difference = bytes[keyStart + at]! - other[start + at]!;
      if (difference > 0) return;
      if (difference < 0) throw notAscending();
    }
    if (length <= end - start) throw notAscending();
  }
}

function notAscending(): DecodeError {
  return new DecodeError("rows do not ascend by key");
}

/** Makes chunks of rows that come in order. */
export class RowChunkWriter implements RowSink {
  #bytes: Bytes = emptyBytes;
  #length = 0;
  #rows = 0;
  /** Where the last row begins. */
  #lastAt = 0;

  get length(): number {
    return this.#length;
  }

  add(bytes: Bytes, keyStart: number, keyEnd: number, recordEnd: number, sequence: number): void {
    this.#makeRoom(rowHeaderBytesMax + recordEnd - keyStart);
    this.#lastAt = this.#length;
    this.#rows++;
    this.#varint(sequence);
    this.#varint(keyEnd - keyStart);
    this.#varint(recordEnd - keyEnd);
    copyRange(bytes, keyStart, recordEnd, this.#bytes, this.#length);
    this.#length += recordEnd - keyStart;
  }

  /**
   * What was added, in memory that is the caller's. When it has more than `bytesMax`, the last row stays for the
   * next chunk, unless it is the only one.
   */
  take(bytesMax: number): Bytes {
    const end = this.#length > bytesMax && this.#rows > 1 ? this.#lastAt : this.#length;
    const taken = this.#bytes.subarray(0, end);
    const rest = this.#bytes.slice(end, this.#length);
    this.#bytes = rest;
    this.#length = rest.length;
    this.#rows = rest.length === 0 ? 0 : 1;
    this.#lastAt = 0;
    return taken;
  }

  /** For chunks of so many bytes: they are not copied while they grow, unless a last row is a large one. */
  reserve(bytesMax: number): void {
    this.#makeRoom(bytesMax - this.#length);
  }

  #makeRoom(count: number): void {
    const wanted = this.#length + count;
    if (wanted <= this.#bytes.length) return;
    const larger = new Uint8Array(wanted + (wanted >> 2));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }

  #varint(value: number): void {
    const bytes = this.#bytes;
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) bytes[this.#length++] = (rest % 128) | 0x80;
    bytes[this.#length++] = rest;
  }
}
