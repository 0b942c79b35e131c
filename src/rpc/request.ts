/**
 * The head of every client request, before its arguments.
 *
 *     head  = headBytes varint, remainingMs varint, consistency u8, field*
 *     consistency = linearizable 1
 *     field = tag u8, bytes              none is known yet; unknown ones are skipped
 *     Get         = head, flags u8 (1: tell the life of the key too), key bytes
 *     Put, Delete = head, command        (kv/command.ts), up to the end
 *     IsLeader, Status = head
 *
 * `headBytes` counts what follows it, so that later versions can add fields. Example, 5 seconds: 03 88 27 01.
 */
import { type ByteReader, type ByteWriter, DecodeError } from "../lib/codec.ts";

const linearizable = 1;

/** The caller stops waiting after so many ms: nobody needs an answer later. */
export function encodeRequestHead(body: ByteWriter, remainingMs: number): void {
  const ms = Math.max(0, Math.min(Math.ceil(remainingMs), remainingMsMax));
  body.varint(1 + varintBytes(ms));
  body.varint(ms);
  body.u8(linearizable);
}

/** Leaves the reader at the arguments. Throws DecodeError. */
export function decodeRequestHead(reader: ByteReader): { readonly remainingMs: number } {
  const length = reader.varint();
  if (length > reader.remaining) throw new DecodeError("a request ends inside its head");
  const end = reader.offset + length;
  const remainingMs = reader.varint();
  const consistency = reader.u8();
  if (consistency !== linearizable)
    throw new DecodeError(`a request asks for the unknown consistency ${consistency}`);
  if (reader.offset > end) throw new DecodeError("a request's head is longer than it says");
  reader.raw(end - reader.offset);
  return { remainingMs: Math.min(remainingMs, remainingMsMax) };
}

/** In a Get: the reply tells when the key was created and changed, and how many versions it has had. */
export const withLife = 1;

/** A day: nobody waits longer, and it keeps sums of times small. */
const remainingMsMax = 86_400_000;

function varintBytes(value: number): number {
  let count = 1;
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) count++;
  return count;
}
