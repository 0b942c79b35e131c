/**
 * The last block of a run's file: what it holds.
 *
 *     footer = magic[8] format:u16 rows:varint keys:varint dataBlocks:varint sequenceMin:varint sequenceMax:varint
 *              contentBytes:varint smallest:bytes largest:bytes chain:u32 sample
 *     magic  = "kvraftRN"
 *     format = 1
 *     chain  = CRC-32 of the checksums of all blocks before, in order, 4 bytes each, seeded with 0x72756e73
 *     sample = count:varint (hash:u32 bytes:varint)[count]
 *
 * `contentBytes` are those of all keys and records. Behind the blocks of rows come the filter, the index and the
 * footer. Example: the footer of file 1 with the row of the example in block.ts, and the checksum of the block behind it:
 *
 *     6B 76 72 61 66 74 52 4E  01 00  01 01 01 07 07 03  01 6B 01 6B  92 DC 44 5E  00  DD 35 46 1E
 */
import { type Bytes, equalBytes, toUtf8 } from "../lib/bytes.ts";
import { ByteReader, ByteWriter, DecodeError } from "../lib/codec.ts";
import { decodeSample, encodeSample, type KeySample } from "./key-sample.ts";

export interface TableFooter {
  readonly rows: number;
  readonly keys: number;
  readonly dataBlocks: number;
  readonly sequenceMin: number;
  readonly sequenceMax: number;
  readonly contentBytes: number;
  readonly smallest: Bytes;
  readonly largest: Bytes;
  readonly chain: number;
  readonly sample: KeySample;
}

export const chainSeed = 0x72756e73;
/** Filter, index and footer. */
export const metaBlocks = 3;

const magic = toUtf8("kvraftRN");
const footerFormat = 1;

export function encodeFooter(footer: TableFooter): Bytes {
  const writer = new ByteWriter(512);
  writer.raw(magic);
  writer.u16(footerFormat);
  writer.varint(footer.rows);
  writer.varint(footer.keys);
  writer.varint(footer.dataBlocks);
  writer.varint(footer.sequenceMin);
  writer.varint(footer.sequenceMax);
  writer.varint(footer.contentBytes);
  writer.bytes(footer.smallest);
  writer.bytes(footer.largest);
  writer.u32(footer.chain);
  encodeSample(writer, footer.sample);
  return writer.take();
}

/** Throws DecodeError. The keys are views of `payload`. */
export function decodeFooter(payload: Bytes): TableFooter {
  const reader = new ByteReader(payload);
  if (!equalBytes(reader.raw(magic.length), magic))
    throw new DecodeError("its footer does not start like one");
  const format = reader.u16();
  if (format !== footerFormat)
    throw new DecodeError(`its footer has format ${format}, ${footerFormat} is known`);
  const footer = {
    rows: reader.varint(),
    keys: reader.varint(),
    dataBlocks: reader.varint(),
    sequenceMin: reader.varint(),
    sequenceMax: reader.varint(),
    contentBytes: reader.varint(),
    smallest: reader.bytes(),
    largest: reader.bytes(),
    chain: reader.u32(),
    sample: decodeSample(reader),
  };
  reader.end();
  return footer;
}
