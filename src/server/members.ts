/**
 * Who the members are, as every config entry of the log says it; the first one is each log's first entry.
 *
 *     members = version u8 (3), count varint, member*, removedCount varint, removed*
 *     member  = node id, address text, role u8
 *     removed = node id, address text
 *     role    = voter 0 | incoming 1 | outgoing 2 | learner 3
 *
 * The order is that in which they joined. Example, one voter:
 * 03 01 00 11 22 33 44 55 66 77 0E "127.0.0.1:5001" 00 00. Two members may have one
 * address: a server that lost its folder is another node where the lost one was.
 */

import { parseAddress } from "../lib/address.ts";
import { type Bytes, toUtf8 } from "../lib/bytes.ts";
import { ByteReader, ByteWriter, DecodeError } from "../lib/codec.ts";
import type { Configuration, NodeId } from "../raft/types.ts";

/**
 * - `voter`: decides; in a joint configuration before the change and after it.
 * - `incoming`, `outgoing`: decides only after a change, or only before it. There are some while it is under way.
 * - `learner`: is sent the log, and decides nothing.
 */
export type MemberRole = "voter" | "incoming" | "outgoing" | "learner";

export interface Member {
  readonly nodeId: NodeId;
  /** `host:port`, where clients and the other members find it. */
  readonly address: string;
  readonly role: MemberRole;
}

/** A node that is a member no more, with the address that it had last: people name it by that when they ask again. */
export interface RemovedMember {
  readonly nodeId: NodeId;
  readonly address: string;
}

/** The members as Raft counts them, with what Raft does not need to know. */
export interface Members extends Configuration {
  readonly list: readonly Member[];
  /** Who was removed, the last one at the end: the last few, so that they can be told. */
  readonly removed: readonly RemovedMember[];
}

/** A removed node that was away for so many removals learns of its own from nobody: it is a stranger then. */
const removedMax = 64;
const addressBytesMax = 512;
const roles: readonly MemberRole[] = ["voter", "incoming", "outgoing", "learner"];
const version = 3;

export const noMembers: Members = membersOf([], []);

export function membersOf(list: readonly Member[], removed: readonly RemovedMember[]): Members {
  const idsOf = (...wanted: readonly MemberRole[]) =>
    list.filter(({ role }) => wanted.includes(role)).map(({ nodeId }) => nodeId);
  const isJoint = list.some(({ role }) => role === "incoming" || role === "outgoing");
  return {
    list,
    removed: removed.slice(-removedMax),
    incoming: idsOf("voter", "incoming"),
    outgoing: isJoint ? idsOf("voter", "outgoing") : [],
    learners: idsOf("learner"),
  };
}

export function encodeMembers(members: Members): Bytes {
  const writer = new ByteWriter();
  writeMembers(writer, members);
  return writer.take();
}

/** Throws DecodeError. */
export function decodeMembers(bytes: Bytes): Members {
  const reader = new ByteReader(bytes);
  const members = readMembers(reader);
  reader.end();
  return members;
}

export function writeMembers(writer: ByteWriter, { list, removed }: Members): void {
  writer.u8(version);
  writer.varint(list.length);
  for (const member of list) {
    writer.id(member.nodeId);
    writer.bytes(toUtf8(member.address));
    writer.u8(roles.indexOf(member.role));
  }
  writer.varint(removed.length);
  for (const { nodeId, address } of removed) {
    writer.id(nodeId);
    writer.bytes(toUtf8(address));
  }
}

export function readMembers(reader: ByteReader): Members {
  const found = reader.u8();
  if (found !== version) throw new DecodeError(`the members have version ${found}, ${version} is known`);
  const list: Member[] = [];
  for (let count = reader.varint(); count > 0; count--) {
    const [nodeId, address] = [reader.id() as NodeId, reader.text(addressBytesMax)];
    const role = roles[reader.u8()];
    checkAddress(nodeId, address);
    if (role === undefined) throw new DecodeError(`the member ${nodeId} has an unknown role`);
    list.push({ nodeId, address, role });
  }
  const removed: RemovedMember[] = [];
  for (let count = reader.varint(); count > 0; count--) {
    const [nodeId, address] = [reader.id() as NodeId, reader.text(addressBytesMax)];
    checkAddress(nodeId, address);
    removed.push({ nodeId, address });
  }
  return membersOf(list, removed);
}

export function wasRemoved({ removed }: Members, nodeId: string): boolean {
  return removed.some((gone) => gone.nodeId === nodeId);
}

function checkAddress(nodeId: NodeId, address: string): void {
  if (parseAddress(address) === undefined)
    throw new DecodeError(`the member ${nodeId} has no address but ${JSON.stringify(address)}`);
}
