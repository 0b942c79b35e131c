/**
 * Requests about the members of the cluster, and their answers. All but Members are the leader's.
 *
 *     Members           = head                                  answer: JSON as bytes (see below)
 *     ChangeMembers     = head, promote ids, remove ids         answer: nothing, when the change is over
 *     TransferLeader    = head, node id (zeros: any voter)      answer: nothing, when another node leads
 *     Join              = head, node id, address bytes          answer: cluster id
 *     ids               = count varint, node id*
 *
 * ChangeMembers makes voters of learners and removes members, all in one change by joint consensus; it is refused while
 * another one is under way (ErrBusy) and when it cannot be made (ErrMembers: an unknown node, a learner that is too far
 * behind, nobody left). Sent again after it was done it changes nothing and is answered OK. Join makes a learner of an
 * empty node that asks for itself. The JSON of Members is
 *
 *     {"clusterId": "…", "leader": "host:port" or "", "members": [{"nodeId": "…", "address": "host:port",
 *      "role": "voter" | "incoming" | "outgoing" | "learner", "match"?: n, "lag"?: n, "active"?: true}]}
 *
 * where match (the last log index known to be there), lag (entries behind the leader's last one) and active (heard of in
 * the last election timeout) are told by the leader only.
 */
import { type ByteReader, type ByteWriter, DecodeError } from "../lib/codec.ts";

export interface ChangeMembers {
  /** Node ids of learners that become voters. */
  readonly promote: readonly string[];
  /** Node ids of members that leave. */
  readonly remove: readonly string[];
}

export interface Join {
  readonly nodeId: string;
  /** `host:port`. */
  readonly address: string;
}

export function encodeChangeMembers(body: ByteWriter, change: ChangeMembers): void {
  writeIds(body, change.promote);
  writeIds(body, change.remove);
}

export function decodeChangeMembers(reader: ByteReader): ChangeMembers {
  const change = { promote: readIds(reader), remove: readIds(reader) };
  reader.end();
  return change;
}

export function encodeJoin(body: ByteWriter, { nodeId, address }: Join): void {
  body.id(nodeId);
  body.text(address);
}

export function decodeJoin(reader: ByteReader): Join {
  const join = { nodeId: reader.id(), address: reader.text(addressBytesMax) };
  reader.end();
  return join;
}

function writeIds(body: ByteWriter, ids: readonly string[]): void {
  body.varint(ids.length);
  for (const id of ids) body.id(id);
}

function readIds(reader: ByteReader): string[] {
  const ids: string[] = [];
  const count = reader.varint();
  if (count > idsMax) throw new DecodeError(`the ids are more than ${idsMax}`);
  while (ids.length < count) ids.push(reader.id());
  return ids;
}

const addressBytesMax = 512;
/** Node ids in one list of a change: far more than a cluster has members. */
const idsMax = 1024;
