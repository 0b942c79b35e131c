/**
 * Raft's messages as bodies of frames (see rpc/frame.ts; the method says which one it is). Sender and receiver are not
 * repeated: the connection's hello has named them.
 *
 *     RequestVote         = term varint, preVote u8, isTransfer u8, last id
 *     RequestVoteReply    = term varint, preVote u8, granted u8, wallMs varint
 *     AppendEntries       = term varint, prev id, commit varint, count varint, entry*
 *     AppendEntriesReply  = term varint, accepted u8, index varint, hint id
 *     Heartbeat           = term varint, commit varint, context varint, leaseMs varint, held varint
 *     HeartbeatReply      = term varint, context varint, wallMs varint
 *     InstallSnapshot     = term varint, start id
 *     TimeoutNow          = term varint
 *     id                  = term varint, index varint                terms and indexes are at most 2^52
 *     entry               = kind u8 (noop 1 | command 2 | config 3), term varint, data bytes
 *
 * A time of 0 is not told. Example, a heartbeat of term 3 with commit 200 and context 1 at lease time 300:
 * 03 C8 01 01 AC 02 C6 01, of a leader that holds 198 of it itself.
 */
import { commandTimeMsMax } from "../kv/limits.ts";
import { unreachable } from "../lib/assert.ts";
import { copyBytes } from "../lib/bytes.ts";
import { type ByteReader, type ByteWriter, DecodeError } from "../lib/codec.ts";
import {
  type Entry,
  type EntryId,
  type EntryKind,
  indexMax,
  type Message,
  type NodeId,
  termMax,
} from "../raft/types.ts";
import { method } from "../rpc/method.ts";

/** Which connection of a pair a message takes: what may be large stays out of a heartbeat's way. */
export type Lane = "control" | "bulk";

export const methodOf = {
  "request-vote": method.requestVote,
  "request-vote-reply": method.requestVoteReply,
  "append-entries": method.appendEntries,
  "append-entries-reply": method.appendEntriesReply,
  heartbeat: method.heartbeat,
  "heartbeat-reply": method.heartbeatReply,
  "install-snapshot": method.installSnapshot,
  "timeout-now": method.timeoutNow,
} as const;

export function laneOf(message: Message): Lane {
  return message.kind === "append-entries" || message.kind === "append-entries-reply" ? "bulk" : "control";
}

export function encodeMessage(body: ByteWriter, message: Message): void {
  body.varint(message.term);
  switch (message.kind) {
    case "request-vote":
      body.u8(Number(message.preVote));
      body.u8(Number(message.isTransfer));
      writeId(body, message.last);
      return;
    case "request-vote-reply":
      body.u8(Number(message.preVote));
      body.u8(Number(message.granted));
      body.varint(message.timeMs ?? 0);
      return;
    case "append-entries":
      writeId(body, message.prev);
      body.varint(message.commit);
      body.varint(message.entries.length);
      for (const entry of message.entries) writeEntry(body, entry);
      return;
    case "append-entries-reply":
      body.u8(Number(message.accepted));
      body.varint(message.index);
      writeId(body, message.hint);
      return;
    case "heartbeat":
      body.varint(message.commit);
      body.varint(message.context);
      body.varint(message.timeMs ?? 0);
      body.varint(message.held ?? 0);
      return;
    case "heartbeat-reply":
      body.varint(message.context);
      body.varint(message.timeMs ?? 0);
      return;
    case "install-snapshot":
      writeId(body, message.start);
      return;
    case "timeout-now":
      return;
    default:
      unreachable(message);
  }
}

/** Entries are views of the reader's source. Throws DecodeError, also for a method that is no message of Raft. */
export function decodeMessage(number: number, reader: ByteReader, from: NodeId, to: NodeId): Message {
  const message = decodeBody(number, reader, { from, to, term: readTerm(reader) });
  reader.end();
  return message;
}

type Envelope = { readonly from: NodeId; readonly to: NodeId; readonly term: number };

function decodeBody(number: number, reader: ByteReader, envelope: Envelope): Message {
  switch (number) {
    case method.requestVote:
      return {
        kind: "request-vote",
        ...envelope,
        preVote: readFlag(reader),
        isTransfer: readFlag(reader),
        last: readId(reader),
      };
    case method.requestVoteReply:
      return {
        kind: "request-vote-reply",
        ...envelope,
        preVote: readFlag(reader),
        granted: readFlag(reader),
        ...readTime(reader),
      };
    case method.appendEntries: {
      const prev = readId(reader);
      const commit = readIndex(reader);
      return {
        kind: "append-entries",
        ...envelope,
        prev,
        commit,
        entries: readEntries(reader, prev, envelope),
      };
    }
    case method.appendEntriesReply: {
      const accepted = readFlag(reader);
      return {
        kind: "append-entries-reply",
        ...envelope,
        accepted,
        index: readIndex(reader),
        hint: readId(reader),
      };
    }
    case method.heartbeat:
      return {
        kind: "heartbeat",
        ...envelope,
        commit: readIndex(reader),
        context: reader.varint(),
        ...readTime(reader),
        held: readIndex(reader),
      };
    case method.heartbeatReply:
      return { kind: "heartbeat-reply", ...envelope, context: reader.varint(), ...readTime(reader) };
    case method.installSnapshot:
      return { kind: "install-snapshot", ...envelope, start: readId(reader) };
    case method.timeoutNow:
      return { kind: "timeout-now", ...envelope };
    default:
      throw new DecodeError(`method ${number} is no message between peers`);
  }
}

const kindNumbers: Record<EntryKind, number> = { noop: 1, command: 2, config: 3 };
const kinds: readonly (EntryKind | undefined)[] = [undefined, "noop", "command", "config"];

function writeEntry(body: ByteWriter, entry: Entry): void {
  body.u8(kindNumbers[entry.kind]);
  body.varint(entry.term);
  body.bytes(entry.data);
}

/** Terms never fall along a log and never pass the sender's, indexes stay exact: anything else is no leader's log. */
function readEntries(reader: ByteReader, prev: EntryId, envelope: Envelope): Entry[] {
  const count = reader.varint();
  const entries: Entry[] = [];
  let floor = prev.term;
  let bytes = 0;
  for (let index = prev.index + 1; entries.length < count; index++) {
    if (index > indexMax) throw new DecodeError(`an entry's index is larger than ${indexMax}`);
    const kind = kinds[reader.u8()];
    if (kind === undefined) throw new DecodeError("an entry has an unknown kind");
    const term = readTerm(reader);
    if (term < floor || term > envelope.term)
      throw new DecodeError("an entry's term does not fit into its log");
    floor = term;
    const data = reader.bytes();
    bytes += data.length;
    entries.push({ kind, term, index, data });
  }
  // They stay in the log's tail: together they keep no more alive than they need.
  if (4 * bytes >= reader.source.length) return entries;
  return entries.map((entry) => ({ ...entry, data: copyBytes(entry.data) }));
}

function writeId(body: ByteWriter, id: EntryId): void {
  body.varint(id.term);
  body.varint(id.index);
}

function readId(reader: ByteReader): EntryId {
  return { term: readTerm(reader), index: readIndex(reader) };
}

/** Numbers stay exact also where something is added to them. */
function readTerm(reader: ByteReader): number {
  const term = reader.varint();
  if (term > termMax) throw new DecodeError(`a term is ${term}, at most ${termMax} is allowed`);
  return term;
}

function readIndex(reader: ByteReader): number {
  const index = reader.varint();
  if (index > indexMax) throw new DecodeError(`an index is ${index}, at most ${indexMax} is allowed`);
  return index;
}

function readTime(reader: ByteReader): { readonly timeMs?: number } {
  const timeMs = reader.varint();
  if (timeMs > commandTimeMsMax)
    throw new DecodeError(`a message has the time ${timeMs}, which no clock shows`);
  return timeMs === 0 ? {} : { timeMs };
}

function readFlag(reader: ByteReader): boolean {
  const value = reader.u8();
  if (value > 1) throw new DecodeError(`a flag is ${value}, it must be 0 or 1`);
  return value === 1;
}
