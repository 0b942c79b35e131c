/**
 * A block of rows, and how every block of a run's file is checked.
 *
 *     block    = payload checksum:u32
 *     checksum = CRC-32 of payload, seeded with (file + 1) * 0x9e3779b1 ^ (block + 1) * 0x85ebca6b  (mod 2^32)
 *     payload of rows = row[count] offset:u32[count] count:u32
 *     row      = sequence:varint keyLength:varint recordLength:varint key record
 *
 * The seed makes a block's place a part of what is checked: the right bytes in the wrong place are damage. Rows
 * ascend by key, and of one key the newest comes first. Example: the key "k" at sequence 7 with the record `01 03`,
 * alone in block 0 of file 1:
 *
 *     07 01 02 6B 01 03  00 00 00 00  01 00 00 00  8E F5 C5 6A
 */
import type { Bytes } from "../lib/bytes.ts";
import { crc32 } from "../lib/checksum.ts";
import { DecodeError, readU32 } from "../lib/codec.ts";

export const checksumBytes = 4;
/** The count; each row adds its offset. */
export const rowsTrailerBytes = 4;

/** Writes the checksum behind the payload, which ends at `end`. Returns it. */
export function sealBlock(bytes: Bytes, end: number, file: number, block: number): number {
  const checksum = crc32(bytes.subarray(0, end), seedOf(file, block));
  writeU32(bytes, end, checksum);
  return checksum;
}

/** What the CRC-32 of anything and its own CRC-32 behind it comes to, whatever the seed. */
const residue = 0x2144df1c;

/** Throws DecodeError when a block is not what was written to this place. */
export function checkBlock(bytes: Bytes, file: number, block: number): void {
  if (bytes.length < checksumBytes) throw new DecodeError(`block ${block} has ${bytes.length} bytes`);
  if (crc32(bytes, seedOf(file, block)) !== residue)
    throw new DecodeError(`the checksum of block ${block} does not match`);
}

/** The payload of a block as a view. Throws DecodeError when it is not what was written to this place. */
export function openBlock(bytes: Bytes, file: number, block: number): Bytes {
  checkBlock(bytes, file, block);
  return bytes.subarray(0, bytes.length - checksumBytes);
}

function seedOf(file: number, block: number): number {
  return (Math.imul(file + 1, 0x9e3779b1) ^ Math.imul(block + 1, 0x85ebca6b)) >>> 0;
}

export function writeU32(bytes: Bytes, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

/**
 * Rows of a block that was checked. A damaged one does not get here, so what does not fit is a DecodeError all the
 * same.
 */
export class RowBlock {
  readonly bytes: Bytes;
  readonly count: number;
  readonly #offsetsAt: number;

  /** Of a whole block. */
  constructor(bytes: Bytes) {
    this.bytes = bytes;
    const countAt = bytes.length - checksumBytes - rowsTrailerBytes;
    this.count = countAt < 0 ? 0 : readU32(bytes, countAt);
    this.#offsetsAt = countAt - 4 * this.count;
    if (this.count === 0 || this.#offsetsAt < 0) throw new DecodeError("a block of rows has none");
  }

  offsetOf(row: number): number {
    return readU32(this.bytes, this.#offsetsAt + 4 * row);
  }

  /** Where the rows end. */
  get rowsEnd(): number {
    return this.#offsetsAt;
  }
}

/** One row of a block at a time: where its parts lie in `bytes`. Moving makes no garbage. */
export class RowPointer {
  block: RowBlock | undefined;
  row = -1;
  bytes: Bytes;
  sequence = 0;
  keyStart = 0;
  keyEnd = 0;
  recordEnd = 0;
  #at = 0;

  constructor(empty: Bytes) {
    this.bytes = empty;
  }

  load(block: RowBlock, row: number): void {
    this.block = block;
    this.row = row;
    const bytes = block.bytes;
    this.bytes = bytes;
    this.#at = block.offsetOf(row);
    this.sequence = this.#varint();
    const keyLength = this.#varint();
    const recordLength = this.#varint();
    this.keyStart = this.#at;
    this.keyEnd = this.#at + keyLength;
    this.recordEnd = this.keyEnd + recordLength;
    if (this.recordEnd > block.rowsEnd) throw new DecodeError("a row ends outside of its block");
  }

  key(): Bytes {
    return this.bytes.subarray(this.keyStart, this.keyEnd);
  }

  record(): Bytes {
    return this.bytes.subarray(this.keyEnd, this.recordEnd);
  }

  /** How the row's key compares to another: before it (negative), the same (0), after it. */
  compareKey(key: Bytes): number {
    const { bytes, keyStart } = this;
    const length = this.keyEnd - keyStart;
    const limit = Math.min(length, key.length);
    for (let at = 0; at < limit; at++) {
      const difference = bytes[keyStart + at]! - key[at]!;
      if (difference !== 0) return difference;
    }
    return length - key.length;
  }

  #varint(): number {
    const { bytes } = this;
    let byte = bytes[this.#at++]!;
    if (byte < 0x80) return byte;
    let value = byte & 0x7f;
    let scale = 128;
    for (let count = 1; count < 8; count++) {
      byte = bytes[this.#at++]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
    throw new DecodeError("a varint in a row is larger than 2^53 - 1");
  }
}
