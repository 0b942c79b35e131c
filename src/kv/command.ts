/**
 * The command that Raft carries: what every replica applies, in log order.
 *
 *     command   := version u8 (1), type u8, timeMs u53, session, principal bytes, body
 *     session   := name bytes                       empty: outside of any session
 *                | name bytes, sequence varint, acknowledged varint, bornMs varint
 *     body      := key bytes, value bytes           type 1, put
 *                | key bytes                        type 2, delete
 *
 * `timeMs` stands at a fixed place: the leader stamps it into the client's bytes when it proposes them. Example, put
 * "a" = "bc" outside of a session at time 0:
 *
 *     01 01 00000000 00000000 00 00 01 61 02 62 63
 */
import type { Bytes } from "../lib/bytes.ts";
import { ByteReader, type ByteWriter, DecodeError } from "../lib/codec.ts";
import { commandTimeMsMax, principalBytesMax, sessionNameBytesMax } from "./limits.ts";

export type CommandType = "put" | "delete";

/** A command's place in its client's session (thesis 6.3). */
export interface SessionStamp {
  /** Drawn by the client, so that opening is itself safe to repeat. */
  readonly name: string;
  /** 1 for the session's first command, which opens it. */
  readonly sequence: number;
  /** The client has the results up to here: they can be forgotten. */
  readonly acknowledged: number;
  /** The log's time as the client was told it before its first command, in ms since 1970. */
  readonly bornMs: number;
}

export interface Command {
  readonly type: CommandType;
  /** Stamped by the leader, in ms since 1970. */
  readonly timeMs: number;
  readonly session: SessionStamp | undefined;
  readonly principal: Bytes;
  readonly key: Bytes;
  /** Empty for a delete. */
  readonly value: Bytes;
}

const version = 1;
const typeNumbers: Record<CommandType, number> = { put: 1, delete: 2 };
const timeOffset = 2;

export function encodeCommand(writer: ByteWriter, command: Command): void {
  writer.u8(version);
  writer.u8(typeNumbers[command.type]);
  writer.u53(command.timeMs);
  const { session } = command;
  writer.text(session?.name ?? "");
  if (session !== undefined) {
    writer.varint(session.sequence);
    writer.varint(session.acknowledged);
    writer.varint(session.bornMs);
  }
  writer.bytes(command.principal);
  writer.bytes(command.key);
  if (command.type === "put") writer.bytes(command.value);
}

/** Keys and values are views of `bytes`. Throws DecodeError for anything but one whole command. */
export function decodeCommand(bytes: Bytes): Command {
  const reader = new ByteReader(bytes);
  const found = reader.u8();
  if (found !== version) throw new DecodeError(`a command has version ${found}, ${version} is known`);
  const type = decodeType(reader.u8());
  const timeMs = reader.u53();
  if (timeMs > commandTimeMsMax)
    throw new DecodeError(`a command has the time ${timeMs}, which no clock shows`);
  const session = decodeSession(reader);
  const principal = reader.bytes(principalBytesMax);
  const key = reader.bytes();
  const value = type === "put" ? reader.bytes() : noBytes;
  reader.end();
  return { type, timeMs, session, principal, key, value };
}

/** Writes the leader's time into an encoded command. */
export function stampTime(command: Bytes, timeMs: number): void {
  let rest = timeMs;
  for (let offset = timeOffset; offset < timeOffset + 8; offset++) {
    command[offset] = rest % 256;
    rest = Math.floor(rest / 256);
  }
}

function decodeType(number: number): CommandType {
  if (number === typeNumbers.put) return "put";
  if (number === typeNumbers.delete) return "delete";
  throw new DecodeError(`a command has the unknown type ${number}`);
}

function decodeSession(reader: ByteReader): SessionStamp | undefined {
  const name = reader.text(sessionNameBytesMax);
  if (name === "") return undefined;
  const stamp = {
    name,
    sequence: reader.varint(),
    acknowledged: reader.varint(),
    bornMs: reader.varint(),
  };
  if (stamp.sequence === 0) throw new DecodeError("a session's first command has sequence number 1, found 0");
  if (stamp.acknowledged >= stamp.sequence)
    throw new DecodeError("a session acknowledges a result before its command was sent");
  return stamp;
}

const noBytes: Bytes = new Uint8Array(0);
