/**
 * MANIFEST: which files make up the store, and what they contain. Replaced as a whole, never changed in place.
 *
 *     manifest = magic[8] format:u16 length:u32 checksum:u32 body[length]
 *     magic    = "kvraftMF"
 *     format   = 3
 *     checksum = CRC-32 of magic, format, length and body, seeded with 0x6d616e66
 *     body     = nextNumber:varint sequence:varint appliedIndex:varint appliedTerm:varint historyFloor:varint
 *                logStartIndex:varint logStartTerm:varint
 *                runCount:varint run[runCount], newest first
 *                mergeCount:varint merge[mergeCount]
 *     run      = id:varint partCount:varint part[partCount], ascending by key
 *     part     = file isCut:u8 [from:bytes]
 *     file     = number:varint rows:varint bytes:varint blocks:varint checksum:u32 smallest:bytes largest:bytes
 *     merge    = inputCount:varint id:varint[inputCount] output:varint isBottom:u8
 *
 * Magic, format, length and checksum stay where they are in every format, so that a newer file is told from a damaged
 * one. Example, a store without runs that was created just now (next number 1, everything else 0):
 *
 *     6B 76 72 61 66 74 4D 46  03 00  09 00 00 00  CB 12 5A 9D  01 00 00 00 00 00 00 00 00
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

/** A file of a run: sorted rows, at least one. */
export interface TableFile {
  readonly number: number;
  readonly rows: number;
  readonly bytes: number;
  readonly blocks: number;
  /** That of its footer, which covers those of all other blocks. */
  readonly checksum: number;
  readonly smallest: Bytes;
  readonly largest: Bytes;
}

/** A file in a run. Rows below `from` do not belong to it any more: a merge has moved them. */
export interface RunPart {
  readonly file: TableFile;
  readonly from: Bytes | undefined;
}

/**
 * A sorted run: files whose ranges of keys follow each other. Empty only as the output of a merge that has just
 * begun.
 */
export interface RunState {
  readonly id: number;
  readonly parts: readonly RunPart[];
}

/**
 * A merge under way, from the smallest key up: what is done stands in the output, what is left in the inputs. The
 * output stands behind its inputs in the list of runs.
 */
export interface MergeState {
  /** Ids of neighbouring runs, newest first. */
  readonly inputs: readonly number[];
  readonly output: number;
  /** Whether there was no older run when it began; then there never will be. */
  readonly isBottom: boolean;
}

export interface Manifest {
  /** Numbers of files and runs from here on were never in a MANIFEST. */
  readonly nextNumber: number;
  readonly sequence: number;
  readonly applied: Applied;
  /** Reads below this sequence number may miss what was there: it was not kept. */
  readonly historyFloor: number;
  /**
   * The entry that the state which was installed last goes up to: the owner's log begins behind it. {0, 0} when the
   * store was only written to.
   */
  readonly logStart: Applied;
  /** Newest first. */
  readonly runs: readonly RunState[];
  readonly merges: readonly MergeState[];
}

export const emptyManifest: Manifest = {
  nextNumber: 1,
  sequence: 0,
  applied: { index: 0, term: 0 },
  historyFloor: 0,
  logStart: { index: 0, term: 0 },
  runs: [],
  merges: [],
};

export const manifestFormat = 3;
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
  writer.varint(manifest.nextNumber);
  writer.varint(manifest.sequence);
  writer.varint(manifest.applied.index);
  writer.varint(manifest.applied.term);
  writer.varint(manifest.historyFloor);
  writer.varint(manifest.logStart.index);
  writer.varint(manifest.logStart.term);
  writer.varint(manifest.runs.length);
  for (const run of manifest.runs) encodeRun(writer, run);
  writer.varint(manifest.merges.length);
  for (const { inputs, output, isBottom } of manifest.merges) {
    writer.varint(inputs.length);
    for (const id of inputs) writer.varint(id);
    writer.varint(output);
    writer.u8(isBottom ? 1 : 0);
  }
  writer.setU32(lengthOffset, writer.length - headerBytes);
  writer.setU32(checksumOffset, checksumOf(writer.view()));
  return writer.take();
}

function encodeRun(writer: ByteWriter, { id, parts }: RunState): void {
  writer.varint(id);
  writer.varint(parts.length);
  for (const { file, from } of parts) {
    writer.varint(file.number);
    writer.varint(file.rows);
    writer.varint(file.bytes);
    writer.varint(file.blocks);
    writer.u32(file.checksum);
    writer.bytes(file.smallest);
    writer.bytes(file.largest);
    writer.u8(from === undefined ? 0 : 1);
    if (from !== undefined) writer.bytes(from);
  }
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
  const nextNumber = reader.varint();
  const sequence = reader.varint();
  const applied = { index: reader.varint(), term: reader.varint() };
  const historyFloor = reader.varint();
  const logStart = { index: reader.varint(), term: reader.varint() };
  const runs: RunState[] = [];
  for (let count = reader.varint(); count > 0; count--) runs.push(decodeRun(reader));
  const merges: MergeState[] = [];
  for (let count = reader.varint(); count > 0; count--) merges.push(decodeMerge(reader));
  reader.end();
  return { nextNumber, sequence, applied, historyFloor, logStart, runs, merges };
}

function decodeRun(reader: ByteReader): RunState {
  const id = reader.varint();
  const parts: RunPart[] = [];
  for (let count = reader.varint(); count > 0; count--) {
    const file = {
      number: reader.varint(),
      rows: reader.varint(),
      bytes: reader.varint(),
      blocks: reader.varint(),
      checksum: reader.u32(),
      smallest: reader.bytes(),
      largest: reader.bytes(),
    };
    parts.push({ file, from: reader.u8() === 0 ? undefined : reader.bytes() });
  }
  return { id, parts };
}

function decodeMerge(reader: ByteReader): MergeState {
  const inputs: number[] = [];
  for (let count = reader.varint(); count > 0; count--) inputs.push(reader.varint());
  return { inputs, output: reader.varint(), isBottom: reader.u8() !== 0 };
}

function checksumOf(bytes: Bytes): number {
  const header = crc32(bytes.subarray(0, checksumOffset), checksumSeed);
  return crc32(bytes.subarray(headerBytes), header);
}

/** The files that a MANIFEST names, newest run first. */
export function filesOf(manifest: Manifest): TableFile[] {
  return manifest.runs.flatMap((run) => run.parts.map((part) => part.file));
}
