/**
 * A group is what one write brings to the log: a header of fixed size, then records (records.ts).
 *
 *     group      = header payload
 *     header     = magic format flags number length link payloadCrc headerCrc      32 bytes
 *     magic      = 4 bytes D7 6B 67 72
 *     format     = u16, 1
 *     flags      = u16, 0
 *     number     = u53, one more than the group before (a segment's first group may skip some: segment.ts)
 *     length     = u32, bytes of the payload, at most 64 MiB
 *     link       = u32, the headerCrc of the group before; 0 for the log's first
 *     payloadCrc = u32, CRC-32 of the payload
 *     headerCrc  = u32, CRC-32 of the 28 bytes before it
 *
 * Each headerCrc covers the payload's checksum and the link, so the last one vouches for the whole log. Both checksums
 * start from a seed made of the cluster id and the node id: a value that a user stores, and that happens to hold a
 * copy of another node's log, does not look like a group of this one.
 *
 * Example, the first group of a new log of cluster 00000000000000c1 and node 00000000000000a1: the record of the hard
 * state {term 0, no vote, commit 0}.
 *
 *     D7 6B 67 72   01 00   00 00   01 00 00 00 00 00 00 00   magic, format 1, flags, number 1
 *     04 00 00 00   00 00 00 00   EB 57 C2 12   44 26 8F D9   length 4, link 0, payloadCrc, headerCrc
 *     01 00 00 00                                             hard state, term 0, no vote, commit 0
 */
import { assert } from "../lib/assert.ts";
import { type Bytes, toHex } from "../lib/bytes.ts";
import { crc32 } from "../lib/checksum.ts";
import { ByteReader, ByteWriter, readU32 } from "../lib/codec.ts";
import type { LogOwner } from "./options.ts";

export const groupHeaderBytes = 32;
export const groupFormat = 1;
/** Checked before anything of a group's length is read or allocated. */
export const payloadBytesMax = 64 * 1024 * 1024;

const magic = new Uint8Array([0xd7, 0x6b, 0x67, 0x72]);
const magicNumber = readU32(magic, 0);
const checkedBytes = groupHeaderBytes - 4;

export interface GroupHeader {
  readonly format: number;
  readonly number: number;
  readonly payloadBytes: number;
  readonly link: number;
  readonly payloadCrc: number;
  /** The link of the group that follows. */
  readonly headerCrc: number;
}

/** Where the checksums of this owner's groups start. */
export function groupSeed(owner: LogOwner): number {
  const writer = new ByteWriter(16);
  writer.id(owner.clusterId);
  writer.id(owner.nodeId);
  return crc32(writer.view(), magicNumber);
}

export function payloadCrc(payload: Bytes, seed: number): number {
  return crc32(payload, seed);
}

/** Fills the header at `at`; the payload is all that was written after it. Returns the link for the next group. */
export function sealGroup(
  writer: ByteWriter,
  at: number,
  number: number,
  link: number,
  seed: number,
): number {
  const payloadBytes = writer.length - at - groupHeaderBytes;
  assert(payloadBytes >= 0 && payloadBytes <= payloadBytesMax, "a group's payload stays below its bound");
  const bytes = writer.view();
  writer.setU32(at, magicNumber);
  writer.setU32(at + 4, groupFormat);
  writer.setU32(at + 8, number % 0x1_0000_0000);
  writer.setU32(at + 12, Math.floor(number / 0x1_0000_0000));
  writer.setU32(at + 16, payloadBytes);
  writer.setU32(at + 20, link);
  writer.setU32(at + 24, payloadCrc(bytes.subarray(at + groupHeaderBytes), seed));
  const headerCrc = crc32(bytes.subarray(at, at + checkedBytes), seed);
  writer.setU32(at + checkedBytes, headerCrc);
  return headerCrc;
}

/** The header at `at`, or undefined when the bytes there are none of this owner. */
export function readGroupHeader(bytes: Bytes, at: number, seed: number): GroupHeader | undefined {
  if (at + groupHeaderBytes > bytes.length) return undefined;
  if (readU32(bytes, at) !== magicNumber) return undefined;
  const headerCrc = readU32(bytes, at + checkedBytes);
  if (crc32(bytes.subarray(at, at + checkedBytes), seed) !== headerCrc) return undefined;
  const reader = new ByteReader(bytes, at + 4);
  const format = reader.u16();
  reader.u16();
  const low = reader.u32();
  const high = reader.u32();
  if (high > 0x1f_ffff) return undefined;
  const number = high * 0x1_0000_0000 + low;
  return {
    format,
    number,
    payloadBytes: reader.u32(),
    link: reader.u32(),
    payloadCrc: reader.u32(),
    headerCrc,
  };
}

/** The first place at or after `from` where the magic of a header stands, or -1. */
export function findMagic(bytes: Bytes, from: number): number {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).indexOf(magic, from);
}

/** For messages: what stands where a header was wanted. */
export function describeBytes(bytes: Bytes): string {
  return bytes.length === 0 ? "the end of the file" : `the bytes ${toHex(bytes.subarray(0, 8))}`;
}
