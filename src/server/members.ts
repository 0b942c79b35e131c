/**
 * Who the members are: the first entry of every log binds places in the server list to node ids, for good.
 *
 *     members = version u8 (1), count varint, member*
 *     member  = node id, address text
 *
 * The place is the position. Example, one member: 01 01 00 11 22 33 44 55 66 77 0E "127.0.0.1:5001".
 */
import { type Bytes, toUtf8 } from "../lib/bytes.ts";
import { ByteReader, ByteWriter, DecodeError } from "../lib/codec.ts";
import type { NodeId } from "../raft/types.ts";

export interface Member {
  readonly nodeId: NodeId;
  /** `host:port` as the cluster was formed. */
  readonly address: string;
}

export function encodeMembers(members: readonly Member[]): Bytes {
  const writer = new ByteWriter();
  writeMembers(writer, members);
  return writer.take();
}

/** Throws DecodeError. */
export function decodeMembers(bytes: Bytes): Member[] {
  const reader = new ByteReader(bytes);
  const members = readMembers(reader);
  reader.end();
  return members;
}

export function writeMembers(writer: ByteWriter, members: readonly Member[]): void {
  writer.u8(1);
  writer.varint(members.length);
  for (const member of members) {
    writer.id(member.nodeId);
    writer.bytes(toUtf8(member.address));
  }
}

export function readMembers(reader: ByteReader): Member[] {
  const version = reader.u8();
  if (version !== 1) throw new DecodeError(`the members have version ${version}, 1 is known`);
  const count = reader.varint();
  const members: Member[] = [];
  while (members.length < count)
    members.push({ nodeId: reader.id() as NodeId, address: reader.text(addressBytesMax) });
  return members;
}

const addressBytesMax = 512;
