/**
 * MANIFEST: which runs make up the store, and what they contain. Replaced as a whole, never changed in place.
 *
 *     manifest = magic[8] format:u16 length:u32 checksum:u32 body[length]
 *     magic    = "kvraftMF"
 *     format   = 1
 *     checksum = CRC-32 of magic, format, length and body, seeded with 0x6d616e66
 *     body     = nextFile:varint sequence:varint appliedIndex:varint appliedTerm:varint
 *                runCount:varint run[runCount], newest first
 *     run      = number:varint rows:varint bytes:varint smallest:bytes largest:bytes
 *                sequenceMin:varint sequenceMax:varint
 *
 * Magic, format, length and checksum stay where they are in every format, so that a newer file is told from a damaged
 * one. Example, a store without runs that was created just now (next file 1, everything else 0):
 *
 *     6B 76 72 61 66 74 4D 46  01 00  05 00 00 00  C0 47 B9 37  01 00 00 00 00
 */
import type { Disk } from "../env/disk.ts";
import { replaceFile } from "../env/replace-file.ts";
import type { Bytes } from "../lib/bytes.ts";
import { crc32 } from "../lib/checksum.ts";
import { ByteReader, ByteWriter, DecodeError } from "../lib/codec.ts";
import { KvraftError } from "../lib/error.ts";
import { corruption } from "./corruption.ts";
import { manifestName, manifestPath } from "./folder-names.ts";

/** The entry of the Raft log up to which the store's content goes; {0, 0} for none. */
export interface Applied {
  readonly index: number;
  readonly term: number;
}

/** What is known of a run without opening it. A run has at least one row. */
export interface RunFile {
  readonly number: number;
  readonly rows: number;
  readonly bytes: number;
  readonly smallest: Bytes;
  readonly largest: Bytes;
  readonly sequenceMin: number;
  readonly sequenceMax: number;
}

export interface Manifest {
  /** Numbers from here on were never given to a run that a MANIFEST named. */
  readonly nextFile: number;
  readonly sequence: number;
  readonly applied: Applied;
  /** Newest first. */
  readonly runs: readonly RunFile[];
}

export const emptyManifest: Manifest = { nextFile: 1, sequence: 0, applied: { index: 0, term: 0 }, runs: [] };

const manifestFormat = 1;
const checksumSeed = 0x6d616e66;
const magic = new Uint8Array([0x6b, 0x76, 0x72, 0x61, 0x66, 0x74, 0x4d, 0x46]);
const checksumOffset = 14;
const headerBytes = 18;

/** NOT_FOUND when there is none; CORRUPTION or FORMAT when there is one that cannot be believed. */
export function readManifest(disk: Disk, folder: string): Manifest {
  const path = manifestPath(folder);
  const bytes = disk.read(path);
  if (bytes === undefined) throw new KvraftError("NOT_FOUND", `Cannot read "${path}": there is no such file`);
  try {
    return decodeManifest(bytes, path);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw corruption(`read "${path}"`, `the file is damaged (${error.message})`, error);
  }
}

/** Replaces the MANIFEST: durable when it returns. After a failure either the old or the new one is there. */
export function writeManifest(disk: Disk, folder: string, manifest: Manifest): void {
  replaceFile(disk, folder, manifestName, encodeManifest(manifest));
}

export function encodeManifest(manifest: Manifest): Bytes {
  const writer = new ByteWriter(256);
  writer.raw(magic);
  writer.u16(manifestFormat);
  const lengthOffset = writer.skip(4);
  writer.skip(4);
  writer.varint(manifest.nextFile);
  writer.varint(manifest.sequence);
  writer.varint(manifest.applied.index);
  writer.varint(manifest.applied.term);
  writer.varint(manifest.runs.length);
  for (const run of manifest.runs) {
    writer.varint(run.number);
    writer.varint(run.rows);
    writer.varint(run.bytes);
    writer.bytes(run.smallest);
    writer.bytes(run.largest);
    writer.varint(run.sequenceMin);
    writer.varint(run.sequenceMax);
  }
  writer.setU32(lengthOffset, writer.length - headerBytes);
  writer.setU32(checksumOffset, checksumOf(writer.view()));
  return writer.take();
}

/** Throws DecodeError for damage, and KvraftError FORMAT for a whole file of another format. */
export function decodeManifest(bytes: Bytes, path: string): Manifest {
  const reader = new ByteReader(bytes);
  if (Buffer.compare(reader.raw(magic.length), magic) !== 0)
    throw new DecodeError("it does not start like one");
  const format = reader.u16();
  const length = reader.u32();
  const checksum = reader.u32();
  if (length !== reader.remaining)
    throw new DecodeError(`${reader.remaining} bytes follow its header, which names ${length}`);
  if (checksum !== checksumOf(bytes)) throw new DecodeError("its checksum does not match");
  if (format !== manifestFormat)
    throw new KvraftError(
      "FORMAT",
      `Cannot read "${path}": it has format ${format}, this program knows format ${manifestFormat}; ` +
        "use the version of kvraft that wrote it",
    );
  return decodeBody(reader);
}

function decodeBody(reader: ByteReader): Manifest {
  const nextFile = reader.varint();
  const sequence = reader.varint();
  const applied = { index: reader.varint(), term: reader.varint() };
  const runs: RunFile[] = [];
  for (let count = reader.varint(); count > 0; count--) runs.push(decodeRun(reader));
  reader.end();
  return { nextFile, sequence, applied, runs };
}

function decodeRun(reader: ByteReader): RunFile {
  return {
    number: reader.varint(),
    rows: reader.varint(),
    bytes: reader.varint(),
    smallest: reader.bytes(),
    largest: reader.bytes(),
    sequenceMin: reader.varint(),
    sequenceMax: reader.varint(),
  };
}

function checksumOf(bytes: Bytes): number {
  const header = crc32(bytes.subarray(0, checksumOffset), checksumSeed);
  return crc32(bytes.subarray(headerBytes), header);
}
