/**
 * Reading a state as a stream, piece by piece: peers that lag fetch it, and backups. Any node answers.
 *
 *     OpenSnapshot   = head, flags u8 (fresh 1)           answer: version u8 (1), token, index, term, revision, bytes varint
 *     ReadSnapshot   = head, token varint, number varint   answer: isLast u8, rows bytes, [rowCount varint, crc u32]
 *
 * A snapshot is the state after the entry (index, term), which does not change while it is read; `fresh` waits until the
 * state has everything that this node had applied when it was asked, otherwise it is whatever is durable already. `bytes`
 * is about how much will come. Pieces are read in order, from number 0 on; the last one that was read may be asked for
 * again, when its answer was lost. `rows` is grammar of the store's (leveldb/FORMAT.md): sorted keys with all prefixes of
 * the replicated state. The brackets come with the last piece: how many rows there were, and the CRC-32 of the rows of
 * all pieces one behind the other. A snapshot that nobody reads for a while is closed: ErrSnapshot, open another one.
 */
import type { Bytes } from "../lib/bytes.ts";
import { type ByteReader, type ByteWriter, DecodeError } from "../lib/codec.ts";

/** The largest index, term and revision of a state: what is added to them stays exact. */
const placeMax = 2 ** 52;
/** Of the stream: of what a piece holds, and of what the rows mean. */
const version = 1;

/** What is opened. */
export interface SnapshotHead {
  readonly token: number;
  readonly index: number;
  readonly term: number;
  readonly revision: number;
  readonly bytes: number;
}

export interface SnapshotPiece {
  readonly rows: Bytes;
  /** With the last piece: of all rows. */
  readonly end: { readonly rowCount: number; readonly crc: number } | undefined;
}

/** In an OpenSnapshot: wait for what is applied now. */
export const freshSnapshot = 1;

/** A snapshot is kept for a reader that has asked for nothing for so long, in ms. */
export const snapshotIdleMsMax = 30_000;

export function encodeSnapshotHead(body: ByteWriter, head: SnapshotHead): void {
  body.u8(version);
  body.varint(head.token);
  body.varint(head.index);
  body.varint(head.term);
  body.varint(head.revision);
  body.varint(head.bytes);
}

/** Throws DecodeError, also for a stream of another version. */
export function decodeSnapshotHead(reader: ByteReader): SnapshotHead {
  const found = reader.u8();
  if (found !== version) throw new DecodeError(`a snapshot has version ${found}, ${version} is known`);
  const head = {
    token: reader.varint(),
    index: reader.varint(),
    term: reader.varint(),
    revision: reader.varint(),
    bytes: reader.varint(),
  };
  // Whoever takes over this state counts on from them.
  if (Math.max(head.index, head.term, head.revision) > placeMax)
    throw new DecodeError(`a snapshot's index, term or revision is larger than ${placeMax}`);
  return head;
}

export function encodeSnapshotPiece(body: ByteWriter, { rows, end }: SnapshotPiece): void {
  body.u8(Number(end !== undefined));
  body.bytes(rows);
  if (end === undefined) return;
  body.varint(end.rowCount);
  body.u32(end.crc);
}

export function decodeSnapshotPiece(reader: ByteReader): SnapshotPiece {
  const isLast = reader.u8() !== 0;
  const rows = reader.bytes();
  return { rows, end: isLast ? { rowCount: reader.varint(), crc: reader.u32() } : undefined };
}
