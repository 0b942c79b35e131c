/**
 * What servers ask each other before they are a cluster: the request Raft.Form and its reply.
 *
 *     request = place varint, node id, servers bytes, backup bytes, prepare u8, [cluster id, members]
 *     reply   = place varint, node id, backup bytes, state u8, cluster id, accepted u8, text bytes
 *
 * `servers` is the list as the asker has it, "host:port host:port ...". `backup` is the checksum of the backup that the
 * folder was prepared from, and empty for an empty folder. Without `prepare` it is
 * only a question, and what is in brackets is missing.
 */
import { type Address, formatAddress } from "../lib/address.ts";
import { type ByteReader, type ByteWriter, DecodeError } from "../lib/codec.ts";
import type { NodeId } from "../raft/types.ts";
import type { FormationState } from "./identity.ts";
import { type Members, readMembers, writeMembers } from "./members.ts";

export interface FormRequest {
  readonly place: number;
  readonly nodeId: NodeId;
  readonly servers: string;
  /** The checksum of the backup that its folder holds; empty when it holds nothing. */
  readonly backup: string;
  /** The cluster that the first server proposes to everybody. */
  readonly prepare: { readonly clusterId: string; readonly members: Members } | undefined;
}

export interface FormReply {
  readonly place: number;
  readonly nodeId: NodeId;
  /** As in the request. */
  readonly backup: string;
  readonly state: FormationState;
  readonly clusterId: string;
  /** Whether the server list agrees, and what was proposed is stored. */
  readonly accepted: boolean;
  /** Why not, for people. */
  readonly text: string;
}

const states: readonly FormationState[] = ["alone", "forming", "formed"];
/** Bytes of the list or of a text: a hundred servers with long names. */
const textBytesMax = 32_768;
const checksumBytesMax = 64;

/** The list of servers as formation compares it. */
export function serverListText(servers: readonly Address[]): string {
  return servers.map(formatAddress).join(" ");
}

export function encodeFormRequest(body: ByteWriter, request: FormRequest): void {
  body.varint(request.place);
  body.id(request.nodeId);
  body.text(request.servers);
  body.text(request.backup);
  body.u8(Number(request.prepare !== undefined));
  if (request.prepare === undefined) return;
  body.id(request.prepare.clusterId);
  writeMembers(body, request.prepare.members);
}

export function decodeFormRequest(reader: ByteReader): FormRequest {
  const place = reader.varint();
  const nodeId = reader.id() as NodeId;
  const servers = reader.text(textBytesMax);
  const backup = reader.text(checksumBytesMax);
  const isPrepare = reader.u8() !== 0;
  const prepare = isPrepare ? { clusterId: reader.id(), members: readMembers(reader) } : undefined;
  reader.end();
  return { place, nodeId, servers, backup, prepare };
}

export function encodeFormReply(body: ByteWriter, reply: FormReply): void {
  body.varint(reply.place);
  body.id(reply.nodeId);
  body.text(reply.backup);
  body.u8(states.indexOf(reply.state));
  body.id(reply.clusterId);
  body.u8(Number(reply.accepted));
  body.text(reply.text);
}

export function decodeFormReply(reader: ByteReader): FormReply {
  const place = reader.varint();
  const nodeId = reader.id() as NodeId;
  const backup = reader.text(checksumBytesMax);
  const state = states[reader.u8()];
  if (state === undefined) throw new DecodeError("a server is in an unknown state of formation");
  const reply = { place, nodeId, backup, state, clusterId: reader.id() };
  const accepted = reader.u8() !== 0;
  return { ...reply, accepted, text: reader.text(textBytesMax) };
}
