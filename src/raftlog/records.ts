/**
 * The payload of a group: at most one hard state, then entries in order of their index, without a gap.
 *
 *     payload   = [hardState] entry*
 *     hardState = 01 term:varint hasVote:u8 [vote:id] commit:varint
 *     entry     = kind:u8 term:varint index:varint data:bytes
 *     kind      = 02 no-op | 03 command | 04 configuration
 *
 * Example: the command "hi" of term 3 at index 300 is `03 03 AC 02 02 68 69`.
 */
import { type Bytes, copyBytes, emptyBytes } from "../lib/bytes.ts";
import { ByteReader, type ByteWriter, DecodeError } from "../lib/codec.ts";
import type { Entry, EntryKind, HardState, Index, NodeId, Term } from "../raft/types.ts";
import { payloadBytesMax } from "./group.ts";

const hardStateType = 1;
const typeByKind: Record<EntryKind, number> = { noop: 2, command: 3, config: 4 };
const kindByType: readonly (EntryKind | undefined)[] = [undefined, undefined, "noop", "command", "config"];

/** The most that an entry's record takes besides its data: kind, three varints of at most 8 bytes. */
export const entryOverheadBytes = 25;
/** The largest data of one entry, so that an entry with a hard state always fits into a group. */
export const entryDataBytesMax = payloadBytesMax - 256;

export function writeHardState(writer: ByteWriter, state: HardState): void {
  writer.u8(hardStateType);
  writer.varint(state.term);
  writer.u8(state.vote === undefined ? 0 : 1);
  if (state.vote !== undefined) writer.id(state.vote);
  writer.varint(state.commit);
}

export function writeEntry(writer: ByteWriter, entry: Entry): void {
  writer.u8(typeByKind[entry.kind]);
  writer.varint(entry.term);
  writer.varint(entry.index);
  writer.bytes(entry.data);
}

/** Walks the records of one payload. Throws DecodeError on anything else than the grammar above. */
export class RecordReader {
  readonly hardState: HardState | undefined;
  kind: EntryKind = "noop";
  term: Term = 0;
  index: Index = 0;
  /** A view of the payload. */
  data: Bytes = emptyBytes;
  readonly #reader: ByteReader;

  constructor(payload: Bytes) {
    this.#reader = new ByteReader(payload);
    if (payload.length > 0 && payload[0] === hardStateType) this.hardState = this.#readHardState();
  }

  /** Moves to the next entry; false after the last. */
  next(): boolean {
    const reader = this.#reader;
    if (reader.remaining === 0) return false;
    const type = reader.u8();
    const kind = kindByType[type];
    if (kind === undefined) throw new DecodeError(`a record has the unknown type ${type}`);
    this.kind = kind;
    this.term = reader.varint();
    this.index = reader.varint();
    this.data = reader.bytes();
    return true;
  }

  /** The current entry, with a copy of its data: a small value must not keep the whole payload alive. */
  entry(): Entry {
    return { kind: this.kind, term: this.term, index: this.index, data: copyBytes(this.data) };
  }

  #readHardState(): HardState {
    const reader = this.#reader;
    reader.u8();
    const term = reader.varint();
    const hasVote = reader.u8();
    if (hasVote > 1) throw new DecodeError(`a hard state's vote flag is ${hasVote}, 0 or 1 is wanted`);
    const vote = hasVote === 1 ? (reader.id() as NodeId) : undefined;
    return { term, vote, commit: reader.varint() };
  }
}
