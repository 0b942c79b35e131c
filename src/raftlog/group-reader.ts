import type { DiskFile } from "../env/disk.ts";
import type { Bytes } from "../lib/bytes.ts";
import { emptyBytes } from "../lib/bytes.ts";
import {
  describeBytes,
  findMagic,
  type GroupHeader,
  groupFormat,
  groupHeaderBytes,
  payloadBytesMax,
  payloadCrc,
  readGroupHeader,
} from "./group.ts";
import { formatError } from "./segment.ts";

/**
 * Reads a segment's groups one after the other, in chunks: memory is bounded by the chunk or by one group, whichever
 * is larger. No length is believed before its checksum holds, and none is read beyond the end of the file.
 */
export class GroupReader {
  /** The header where the reader stands, when there is one: also of a group whose payload is bad. */
  header: GroupHeader | undefined;
  /** Of the group that `next` found; a view of memory that the reader does not touch again. */
  payload: Bytes = emptyBytes;
  /** Where that group begins; where the bad bytes are after `next` returned false. */
  offset: number;
  /** What is wrong there, after `next` returned false. */
  problem = "";

  readonly #file: DiskFile;
  readonly #path: string;
  readonly #limit: number;
  readonly #seed: number;
  readonly #chunkBytes: number;
  #nextOffset: number;
  #chunk: Bytes = emptyBytes;
  #chunkOffset = 0;

  constructor(file: DiskFile, path: string, from: number, limit: number, seed: number, chunkBytes: number) {
    this.#file = file;
    this.#path = path;
    this.#limit = limit;
    this.#seed = seed;
    this.#chunkBytes = chunkBytes;
    this.offset = from;
    this.#nextOffset = from;
  }

  /** Moves to the next group; false when the bytes that follow are no whole and valid group. */
  next(): boolean {
    this.offset = this.#nextOffset;
    this.header = undefined;
    let at = this.#load(this.offset, groupHeaderBytes);
    const header = readGroupHeader(this.#chunk, at, this.#seed);
    if (header === undefined) {
      this.problem = `no group's header but ${describeBytes(this.#chunk.subarray(at))}`;
      return false;
    }
    this.header = header;
    if (header.format !== groupFormat)
      throw formatError(
        this.#path,
        `groups of format ${header.format} at byte ${this.offset}`,
        `format ${groupFormat}`,
      );
    const bytes = groupHeaderBytes + header.payloadBytes;
    if (header.payloadBytes > payloadBytesMax || this.offset + bytes > this.#limit) {
      this.problem = `a group of ${bytes} bytes where ${this.#limit - this.offset} are left`;
      return false;
    }
    at = this.#load(this.offset, bytes);
    this.payload = this.#chunk.subarray(at + groupHeaderBytes, at + bytes);
    if (payloadCrc(this.payload, this.#seed) !== header.payloadCrc) {
      this.problem = "a group whose checksum is wrong";
      return false;
    }
    this.#nextOffset = this.offset + bytes;
    return true;
  }

  /** Makes the bytes from `offset` on present, as far as the file has them; returns their place in the chunk. */
  #load(offset: number, length: number): number {
    const wanted = Math.min(length, this.#limit - offset);
    const at = offset - this.#chunkOffset;
    if (at >= 0 && at + wanted <= this.#chunk.length) return at;
    this.#chunk = this.#file.read(offset, Math.min(Math.max(length, this.#chunkBytes), this.#limit - offset));
    this.#chunkOffset = offset;
    return 0;
  }
}

const scanBytes = 1024 * 1024;
const zeros = new Uint8Array(scanBytes);

/** The offset after the last byte in [from, limit) that is not zero; `from` when all of them are. */
export function endOfContent(file: DiskFile, from: number, limit: number): number {
  let end = from;
  for (let offset = from; offset < limit; offset += scanBytes) {
    const bytes = file.read(offset, Math.min(scanBytes, limit - offset));
    if (Buffer.compare(bytes, zeros.subarray(0, bytes.length)) === 0) continue;
    let last = bytes.length - 1;
    while (bytes[last] === 0) last--;
    end = offset + last + 1;
  }
  return end;
}

/** The first valid header at any byte of [from, limit) whose number is at least `numberMin`. */
export function findGroup(
  file: DiskFile,
  from: number,
  limit: number,
  seed: number,
  numberMin: number,
): { offset: number; number: number } | undefined {
  // Chunks overlap by a header less one byte, so that no header is cut in two.
  for (let offset = from; offset < limit; offset += scanBytes - groupHeaderBytes + 1) {
    const bytes = file.read(offset, Math.min(scanBytes, limit - offset));
    for (let at = findMagic(bytes, 0); at >= 0; at = findMagic(bytes, at + 1)) {
      const header = readGroupHeader(bytes, at, seed);
      if (header !== undefined && header.number >= numberMin)
        return { offset: offset + at, number: header.number };
    }
  }
  return undefined;
}
