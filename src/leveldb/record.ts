/**
 * What the store keeps for one version of a key.
 *
 *     record  = format:u8 flags:u8 [created:varint count:varint] [lease:varint] [expiry:varint] value
 *     format  = 1
 *     flags   = 1 tombstone | 2 complete | 4 lease is present | 8 expiry is present
 *     value   = the rest of the bytes; a tombstone has none
 *
 * A tombstone has no created and count. Example: the value "hi", put at sequence 300 as the first and only put of the
 * key that is known so far, is `01 00 AC 02 01 68 69`; a tombstone is `01 03`.
 *
 * `created` and `count` are **partial** (they cover only the puts that were folded into this record so far, and older
 * layers may hold more) until the record is **complete**: everything older was a deletion, or nothing. So a put never
 * reads the old row; merges and those who ask for metadata fold.
 */
import { type Bytes, emptyBytes } from "../lib/bytes.ts";
import { ByteReader, ByteWriter, DecodeError } from "../lib/codec.ts";

export interface StoredRecord {
  readonly isTombstone: boolean;
  /** Whether `created` and `count` are absolute. A tombstone is always complete. */
  readonly isComplete: boolean;
  /** The sequence number of the first put that is counted; 0 in a tombstone. */
  readonly created: number;
  /** Versions since `created`: puts at different sequence numbers; 0 in a tombstone. */
  readonly count: number;
  /** Reserved: 0 is none. */
  readonly lease: number;
  /** Reserved: 0 is none. */
  readonly expiry: number;
  readonly value: Bytes;
}

/** How often a key was put in its present life, and since when. */
export interface Life {
  readonly created: number;
  readonly count: number;
  readonly isComplete: boolean;
}

const recordFormat = 1;
const tombstoneFlag = 1;
const completeFlag = 2;
const leaseFlag = 4;
const expiryFlag = 8;
const allFlags = 15;
const headerBytes = 2;
/** Format, flags and four varints. */
const overheadBytesMax = headerBytes + 4 * 8;

export const tombstoneRecord: Bytes = new Uint8Array([recordFormat, tombstoneFlag | completeFlag]);

export function encodeRecord(record: StoredRecord): Bytes {
  if (record.isTombstone) return tombstoneRecord;
  const writer = new ByteWriter(overheadBytesMax + record.value.length);
  writer.u8(recordFormat);
  writer.u8(
    (record.isComplete ? completeFlag : 0) |
      (record.lease === 0 ? 0 : leaseFlag) |
      (record.expiry === 0 ? 0 : expiryFlag),
  );
  writer.varint(record.created);
  writer.varint(record.count);
  if (record.lease !== 0) writer.varint(record.lease);
  if (record.expiry !== 0) writer.varint(record.expiry);
  writer.raw(record.value);
  return writer.view();
}

/** The bytes before the value in the record of a plain put, which `writePutHeader` writes. */
export function putHeaderBytes(life: Life): number {
  return headerBytes + varintBytes(life.created) + varintBytes(life.count);
}

/** For those who write the record of a put in place, and the value behind it: the same bytes as `encodeRecord`. */
export function writePutHeader(target: Bytes, offset: number, life: Life): void {
  target[offset] = recordFormat;
  target[offset + 1] = life.isComplete ? completeFlag : 0;
  const next = writeVarint(target, offset + headerBytes, life.created);
  writeVarint(target, next, life.count);
}

/** Throws DecodeError; the value is a view of `bytes`. */
export function decodeRecord(bytes: Bytes): StoredRecord {
  const flags = flagsOf(bytes);
  const isTombstone = (flags & tombstoneFlag) !== 0;
  const reader = new ByteReader(bytes, headerBytes);
  const created = isTombstone ? 0 : reader.varint();
  const count = isTombstone ? 0 : reader.varint();
  const lease = (flags & leaseFlag) === 0 ? 0 : reader.varint();
  const expiry = (flags & expiryFlag) === 0 ? 0 : reader.varint();
  if (isTombstone) reader.end();
  return {
    isTombstone,
    isComplete: (flags & completeFlag) !== 0,
    created,
    count,
    lease,
    expiry,
    value: isTombstone ? emptyBytes : reader.rest(),
  };
}

/** Throws DecodeError, like all functions that look into encoded records. */
export function isTombstoneRecord(bytes: Bytes): boolean {
  return (flagsOf(bytes) & tombstoneFlag) !== 0;
}

/** The same, of a record that was checked, at `offset`. */
export function isTombstoneAt(bytes: Bytes, offset: number): boolean {
  return (bytes[offset + 1]! & tombstoneFlag) !== 0;
}

export function isCompleteAt(bytes: Bytes, offset: number): boolean {
  return (bytes[offset + 1]! & completeFlag) !== 0;
}

/** The value of an encoded record as a view of `bytes`; undefined for a tombstone. Decodes nothing else. */
export function valueOfRecord(bytes: Bytes): Bytes | undefined {
  const flags = flagsOf(bytes);
  if ((flags & tombstoneFlag) !== 0) return undefined;
  const start = valueStart(bytes, 0);
  if (start > bytes.length) throw new DecodeError("a record ends inside its header");
  return bytes.subarray(start);
}

/** Where the value begins in a record that lies at `offset`, was checked, and is no tombstone. */
export function valueStart(bytes: Bytes, offset: number): number {
  const flags = bytes[offset + 1]!;
  let fields = 2;
  if ((flags & leaseFlag) !== 0) fields++;
  if ((flags & expiryFlag) !== 0) fields++;
  let at = offset + headerBytes;
  for (; fields > 0; fields--) {
    while (bytes[at]! >= 0x80) at++;
    at++;
  }
  return at;
}

/** Declares the counts of the encoded record at `offset` absolute. */
export function completeInPlace(bytes: Bytes, offset: number): void {
  bytes[offset + 1]! |= completeFlag;
}

/** The life of a version that stands on an older one: on nothing or a tombstone it is all there is to know. */
export function foldLife(
  newer: Life,
  older: (Life & { sequence: number; isTombstone: boolean }) | undefined,
): Life {
  if (newer.isComplete) return newer;
  if (older === undefined || older.isTombstone)
    return { created: newer.created, count: newer.count, isComplete: true };
  // The newest put of the older layer and the first of the newer one may be of one sequence number: one version.
  const shared = newer.created === older.sequence ? 1 : 0;
  return { created: older.created, count: older.count + newer.count - shared, isComplete: older.isComplete };
}

function flagsOf(bytes: Bytes): number {
  const flags = bytes[1];
  if (flags === undefined) throw new DecodeError(`a record has ${bytes.length} bytes`);
  if (bytes[0] !== recordFormat) throw new DecodeError(`record format ${bytes[0]} is unknown`);
  if ((flags & ~allFlags) !== 0) throw new DecodeError(`record flags ${flags} are unknown`);
  return flags;
}

function varintBytes(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) length++;
  return length;
}

/** Returns the offset behind it. */
function writeVarint(target: Bytes, offset: number, value: number): number {
  let at = offset;
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) target[at++] = (rest % 128) | 0x80;
  target[at++] = rest;
  return at;
}
