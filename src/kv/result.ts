import type { ByteReader, ByteWriter } from "../lib/codec.ts";
import { DecodeError } from "../lib/codec.ts";
import { type Status, statusNumber, statusOf } from "./status.ts";

/** What applying a command gave. The same on every replica, and the same again for every duplicate. */
export interface Result {
  readonly status: Status;
  /** The database's revision after the command. */
  readonly revision: number;
}

/** result := status u8, revision varint */
export function encodeResult(writer: ByteWriter, result: Result): void {
  writer.u8(statusNumber(result.status));
  writer.varint(result.revision);
}

export function decodeResult(reader: ByteReader): Result {
  const number = reader.u8();
  const status = statusOf(number);
  if (status === undefined) throw new DecodeError(`a result has the unknown status ${number}`);
  return { status, revision: reader.varint() };
}
