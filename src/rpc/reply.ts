/**
 * Replies to client requests.
 *
 *     reply    = status u8 (kv/status.ts), answer | refusal
 *     answer   = term varint, revision varint, fields bytes, payload      status OK or ErrNoKey
 *     refusal  = flags u8, leader bytes, text bytes, timeMs varint        every other status
 *     flags    = retryable 1 | wasProposed 2
 *     payload  = value bytes, [created varint, modified varint, count varint]    Get that found its key; its life if asked
 *              | text bytes                                                      Status: JSON
 *              | isLeader u8, leader bytes                                       IsLeader
 *              | nothing                                                         the rest
 *
 * `timeMs` is the leader's lease time in ErrSessionEnded, by which the client dates its next session; else 0.
 * `fields` is empty for now. Fields, flags and bytes behind a refusal that are not known are skipped, so that later
 * versions can add some. Statuses are numbers here: what they mean belongs to the state machine. Example, a Put at
 * term 2, revision 5: 00 02 05 00.
 */
import { emptyBytes } from "../lib/bytes.ts";
import { type ByteReader, type ByteWriter, DecodeError } from "../lib/codec.ts";
import { timeMsMax } from "./hello.ts";
import { printable } from "./printable.ts";

/** Why a request was not answered. */
export interface Refusal {
  /** The same request may be sent again, to this node or to the leader. */
  readonly retryable: boolean;
  /** It stands in a log: it may still come to pass. */
  readonly wasProposed: boolean;
  /** `host:port` of the leader, or empty. */
  readonly leader: string;
  readonly text: string;
  /** The leader's lease time; undefined when the refusal tells none. */
  readonly timeMs?: number;
}

/** What every answer tells of the moment it was given. */
export interface AnswerHead {
  readonly term: number;
  readonly revision: number;
}

export function encodeAnswerHead(body: ByteWriter, status: number, head: AnswerHead): void {
  body.u8(status);
  body.varint(head.term);
  body.varint(head.revision);
  body.bytes(emptyBytes);
}

/** Leaves the reader at the payload. */
export function decodeAnswerHead(reader: ByteReader): AnswerHead {
  const head = { term: reader.varint(), revision: reader.varint() };
  reader.bytes();
  return head;
}

export function encodeRefusal(body: ByteWriter, status: number, refusal: Refusal): void {
  body.u8(status);
  body.u8(Number(refusal.retryable) | (Number(refusal.wasProposed) << 1));
  body.text(refusal.leader);
  body.text(refusal.text);
  body.varint(refusal.timeMs ?? 0);
}

export function decodeRefusal(reader: ByteReader): Refusal {
  const flags = reader.u8();
  const refusal = {
    retryable: (flags & 1) !== 0,
    wasProposed: (flags & 2) !== 0,
    leader: reader.text(refusalTextBytesMax),
    text: printable(reader.text(refusalTextBytesMax)),
  };
  const timeMs = reader.varint();
  if (timeMs > timeMsMax) throw new DecodeError("a refusal has a time that no clock shows");
  return timeMs === 0 ? refusal : { ...refusal, timeMs };
}

/** Bytes of a text for people, or of an address. */
const refusalTextBytesMax = 4096;
