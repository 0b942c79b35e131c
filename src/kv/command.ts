/**
 * The command that Raft carries: what every replica applies, in log order.
 *
 *     command   := version u8 (2), type u8, timeMs u53, session, principal bytes, body
 *     session   := name bytes                       empty: outside of any session
 *                | name bytes, sequence varint, acknowledged varint, bornMs varint
 *     body      := key bytes, value bytes           type 1, put
 *                | key bytes                        type 2, delete
 *                | wallMs varint                    type 3, clock: only a leader proposes it, and outside of any session
 *                | boots bytes                      type 4, boots: only a leader proposes it, see boots.ts
 *
 * `timeMs` is lease time. It stands at a fixed place: the leader stamps it into the client's bytes when it proposes them. A
 * clock command says which wall time, in ms since 1970, belongs to its lease time. Examples, put "a" = "bc" outside of a
 * session at time 0; and a clock at time 1 that sets the wall time to 300:
 *
 *     02 01 00000000 00000000 00 00 01 61 02 62 63
 *     02 03 01000000 00000000 00 00 AC 02
 */
import type { Bytes } from "../lib/bytes.ts";
import { ByteReader, type ByteWriter, DecodeError } from "../lib/codec.ts";
import { commandTimeMsMax, principalBytesMax, sessionNameBytesMax } from "./limits.ts";

/** What clients ask for. */
export type KeyCommandType = "put" | "delete";
export type CommandType = KeyCommandType | "clock" | "boots";

/** A command's place in its client's session (thesis 6.3). */
export interface SessionStamp {
  /** Drawn by the client, so that opening is itself safe to repeat. */
  readonly name: string;
  /** 1 for the session's first command, which opens it. */
  readonly sequence: number;
  /** The client has the results up to here: they can be forgotten. */
  readonly acknowledged: number;
  /** Lease time as the client was told it before its first command. */
  readonly bornMs: number;
}

interface CommandHead {
  /** Lease time, stamped by the leader. */
  readonly timeMs: number;
  readonly session: SessionStamp | undefined;
  readonly principal: Bytes;
}

export interface KeyCommand extends CommandHead {
  readonly type: KeyCommandType;
  readonly key: Bytes;
  /** Empty for a delete. */
  readonly value: Bytes;
}

/** Moves the offset between lease time and wall time. */
export interface ClockCommand extends CommandHead {
  readonly type: "clock";
  /** The wall time at `timeMs`, in ms since 1970. */
  readonly wallMs: number;
}

/** Which starts of members' processes leaders have admitted. */
export interface BootsCommand extends CommandHead {
  readonly type: "boots";
  /** See boots.ts. */
  readonly boots: Bytes;
}

export type Command = KeyCommand | ClockCommand | BootsCommand;

const version = 2;
const typeNumbers: Record<CommandType, number> = { put: 1, delete: 2, clock: 3, boots: 4 };
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
  if (command.type === "clock") {
    writer.varint(command.wallMs);
    return;
  }
  if (command.type === "boots") {
    writer.bytes(command.boots);
    return;
  }
  writer.bytes(command.key);
  if (command.type === "put") writer.bytes(command.value);
}

/** Keys and values are views of `bytes`. Throws DecodeError for anything but one whole command. */
export function decodeCommand(bytes: Bytes): Command {
  const reader = new ByteReader(bytes);
  const type = decodeType(reader);
  const timeMs = checkTime(reader.u53());
  const session = decodeSession(reader);
  const principal = reader.bytes(principalBytesMax);
  if (type === "clock") {
    const wallMs = checkTime(reader.varint());
    reader.end();
    return { type, timeMs, session, principal, wallMs };
  }
  if (type === "boots") {
    const boots = reader.bytes();
    reader.end();
    return { type, timeMs, session, principal, boots };
  }
  const key = reader.bytes();
  const value = type === "put" ? reader.bytes() : noBytes;
  reader.end();
  return { type, timeMs, session, principal, key, value };
}

/**
 * Throws for all that `decodeCommand` throws for, and makes nothing of the rest: for a node that stores commands and decodes
 * them later, when they are committed.
 */
export function checkCommand(bytes: Bytes): void {
  const reader = new ByteReader(bytes);
  const type = decodeType(reader);
  checkTime(reader.u53());
  if (reader.skip(sessionNameBytesMax) > 0) {
    checkStamp(reader.varint(), reader.varint());
    reader.varint();
  }
  reader.skip(principalBytesMax);
  if (type === "clock") checkTime(reader.varint());
  else reader.skip();
  if (type === "put") reader.skip();
  reader.end();
}

/** Writes the leader's time into an encoded command. */
export function stampTime(command: Bytes, timeMs: number): void {
  let rest = timeMs;
  for (let offset = timeOffset; offset < timeOffset + 8; offset++) {
    command[offset] = rest % 256;
    rest = Math.floor(rest / 256);
  }
}

function checkTime(timeMs: number): number {
  if (timeMs <= commandTimeMsMax) return timeMs;
  throw new DecodeError(`a command has the time ${timeMs}, which no clock shows`);
}

function decodeType(reader: ByteReader): CommandType {
  const found = reader.u8();
  if (found !== version) throw new DecodeError(`a command has version ${found}, ${version} is known`);
  const number = reader.u8();
  if (number === typeNumbers.put) return "put";
  if (number === typeNumbers.delete) return "delete";
  if (number === typeNumbers.clock) return "clock";
  if (number === typeNumbers.boots) return "boots";
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
  checkStamp(stamp.sequence, stamp.acknowledged);
  return stamp;
}

function checkStamp(sequence: number, acknowledged: number): void {
  if (sequence === 0) throw new DecodeError("a session's first command has sequence number 1, found 0");
  if (acknowledged >= sequence)
    throw new DecodeError("a session acknowledges a result before its command was sent");
}

const noBytes: Bytes = new Uint8Array(0);
