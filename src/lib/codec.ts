/**
 * The binary codec of the wire and the files: little endian, compact, with no self-description.
 *
 *     u8 u16 u32   fixed width
 *     u53          8 bytes, a non-negative safe integer
 *     varint       LEB128 of a non-negative safe integer: 7 bits a byte, low first, at most 8 bytes
 *     bytes        varint length, then the bytes
 *     id           8 bytes, in print 16 hexadecimal digits
 *
 * Example: varint 300 is `AC 02`; bytes "hi" is `02 68 69`.
 * Versions are the business of the formats built on it: each starts with one.
 */
import { assert } from "./assert.ts";
import { type Bytes, emptyBytes, fromHex, toHex, toUtf8 } from "./bytes.ts";

/** What was read is no record of the expected shape. Thrown by ByteReader, caught where bytes enter. */
export class DecodeError extends Error {
  override readonly name = "DecodeError";
}

/** Decodes in place, a view less than a TextDecoder takes. */
const utf8Slice = Buffer.prototype.utf8Slice;
const twoTo32 = 0x1_0000_0000;

/** Appends values to one growing buffer. `view()` is valid until the next append or `clear()`. */
export class ByteWriter {
  #bytes: Bytes;
  #length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  /** Bytes of memory that the writer holds. */
  get capacity(): number {
    return this.#bytes.length;
  }

  clear(): void {
    this.#length = 0;
  }

  /** Begins with what was written; valid as `view` is, without its cost. */
  get memory(): Bytes {
    return this.#bytes;
  }

  view(): Bytes {
    return this.#bytes.subarray(0, this.#length);
  }

  /** What was written from `offset` on. */
  viewFrom(offset: number): Bytes {
    return this.#bytes.subarray(offset, this.#length);
  }

  /** What was written, in memory that the writer gives up; the writer starts again, empty. */
  take(): Bytes {
    const taken = this.view();
    this.#bytes = new Uint8Array(256);
    this.#length = 0;
    return taken;
  }

  /** A copy of what was written. */
  copy(): Bytes {
    return this.#bytes.slice(0, this.#length);
  }

  u8(value: number): void {
    this.#grow(1);
    this.#bytes[this.#length++] = value;
  }

  u16(value: number): void {
    this.#grow(2);
    this.#bytes[this.#length++] = value;
    this.#bytes[this.#length++] = value >>> 8;
  }

  u32(value: number): void {
    this.#grow(4);
    this.setU32(this.#length, value);
    this.#length += 4;
  }

  u53(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, "u53 holds a non-negative safe integer");
    this.u32(value % twoTo32);
    this.u32(Math.floor(value / twoTo32));
  }

  varint(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, "a varint holds a non-negative safe integer");
    this.#grow(8);
    let rest = value;
    while (rest >= twoTo32) {
      this.#bytes[this.#length++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    while (rest > 0x7f) {
      this.#bytes[this.#length++] = (rest & 0x7f) | 0x80;
      rest = rest >>> 7;
    }
    this.#bytes[this.#length++] = rest;
  }

  /** The bytes alone, without a length. */
  raw(bytes: Bytes): void {
    this.#grow(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  bytes(bytes: Bytes): void {
    this.varint(bytes.length);
    this.raw(bytes);
  }

  text(text: string): void {
    this.bytes(toUtf8(text));
  }

  id(id: string): void {
    const bytes = fromHex(id);
    assert(bytes?.length === 8, "an id is 16 hexadecimal digits");
    this.raw(bytes);
  }

  /** Leaves room for `count` bytes and returns their offset, to be filled by `setU32`. */
  skip(count: number): number {
    this.#grow(count);
    const offset = this.#length;
    this.#bytes.fill(0, offset, offset + count);
    this.#length += count;
    return offset;
  }

  setU32(offset: number, value: number): void {
    this.#bytes[offset] = value;
    this.#bytes[offset + 1] = value >>> 8;
    this.#bytes[offset + 2] = value >>> 16;
    this.#bytes[offset + 3] = value >>> 24;
  }

  #grow(count: number): void {
    const wanted = this.#length + count;
    if (wanted <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(wanted, this.#bytes.length * 2));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}

/** Reads values from bytes that may be anything: throws DecodeError and never reads past `limit`. */
export class ByteReader {
  readonly source: Bytes;
  readonly limit: number;
  #offset: number;

  constructor(source: Bytes, offset = 0, limit = source.length) {
    assert(offset <= limit && limit <= source.length, "the reader's range lies inside its source");
    this.source = source;
    this.limit = limit;
    this.#offset = offset;
  }

  get offset(): number {
    return this.#offset;
  }

  get remaining(): number {
    return this.limit - this.#offset;
  }

  u8(): number {
    this.#need(1);
    return this.source[this.#offset++]!;
  }

  u16(): number {
    this.#need(2);
    const at = this.#offset;
    this.#offset += 2;
    return this.source[at]! | (this.source[at + 1]! << 8);
  }

  u32(): number {
    this.#need(4);
    const value = readU32(this.source, this.#offset);
    this.#offset += 4;
    return value;
  }

  u53(): number {
    const low = this.u32();
    const high = this.u32();
    if (high > 0x1f_ffff) throw new DecodeError("a number is larger than 2^53 - 1");
    return high * twoTo32 + low;
  }

  varint(): number {
    // Most are small.
    const first = this.#offset < this.limit ? this.source[this.#offset]! : 0x80;
    if (first >= 0x80) return this.#longVarint();
    this.#offset++;
    return first;
  }

  #longVarint(): number {
    let value = 0;
    let scale = 1;
    for (let count = 0; count < 8; count++) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (!Number.isSafeInteger(value)) break;
        return value;
      }
      scale *= 128;
    }
    throw new DecodeError("a varint is larger than 2^53 - 1");
  }

  /** `count` bytes as a view of the source. */
  raw(count: number): Bytes {
    this.#need(count);
    const at = this.#offset;
    this.#offset += count;
    return this.source.subarray(at, at + count);
  }

  /** Length-prefixed bytes as a view of the source; `most` bounds the length before anything is made of it. */
  bytes(most = Number.MAX_SAFE_INTEGER): Bytes {
    const length = this.#length(most);
    // A view costs a tenth of a microsecond, and many byte strings are empty.
    return length === 0 ? emptyBytes : this.raw(length);
  }

  /** Passes over length-prefixed bytes; returns how many. */
  skip(most = Number.MAX_SAFE_INTEGER): number {
    const length = this.#length(most);
    this.#need(length);
    this.#offset += length;
    return length;
  }

  text(most: number): string {
    const length = this.#length(most);
    this.#need(length);
    const at = this.#offset;
    this.#offset += length;
    return utf8Slice.call(this.source as Buffer, at, at + length);
  }

  id(): string {
    return toHex(this.raw(8));
  }

  /** Everything up to the limit as a view. */
  rest(): Bytes {
    return this.raw(this.remaining);
  }

  /** Says that the record ends here. */
  end(): void {
    if (this.remaining !== 0) throw new DecodeError(`${this.remaining} bytes follow the end of a record`);
  }

  #length(most: number): number {
    const length = this.varint();
    if (length > most)
      throw new DecodeError(`a byte string has ${length} bytes, at most ${most} are allowed`);
    return length;
  }

  #need(count: number): void {
    if (count > this.remaining)
      throw new DecodeError(`a record ends early: ${count} bytes wanted, ${this.remaining} left`);
  }
}

/** The 32-bit number at `offset`, which must lie inside. */
export function readU32(bytes: Bytes, offset: number): number {
  const low = bytes[offset]! | (bytes[offset + 1]! << 8);
  const high = bytes[offset + 2]! | (bytes[offset + 3]! << 8);
  return (low | (high << 16)) >>> 0;
}
