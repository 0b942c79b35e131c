/**
 * Requests about the members of the cluster, and their answers. All but Members are the leader's.
 *
 *     Members           = head                                       answer: JSON as bytes (see below)
 *     ChangeMembers     = head, promote, remove, replace             answer: nothing, when the change is over
 *     TransferLeader    = head, node id (zeros: any voter)           answer: nothing, when that node leads
 *     Join              = head, node id, address bytes               answer: cluster id
 *     promote, remove   = count varint, member*
 *     replace           = count varint, (old member, new member)*
 *     member            = node id, address bytes
 *
 * ChangeMembers makes voters of learners, removes members and replaces voters by learners, all in one change by joint
 * consensus. The leader compares what is asked for with the members as they are, and refuses the whole (ErrMembers) unless
 * every part of it can be done or was done already: a node is promoted that is a learner or a voter; a node is removed that
 * is a member or was removed; an old voter is replaced by a learner, or it was removed and the new one is a voter. An
 * address that is not empty has to be the member's present one. ErrBehind: a learner has not caught up. ErrBusy: another
 * change is under way. Sent again after it was done a change is answered OK and changes nothing.
 *
 * Example of the arguments of "replace node 1, which is at a:1, by node 2, wherever it is":
 *
 *     00       00      01       00 00 00 00 00 00 00 01  03 61 3A 31  00 00 00 00 00 00 00 02  00
 *     promote  remove  replace  old id                   "a:1"        new id                   ""
 *
 * Join makes a learner of an empty node that asks for itself, and changes the address of a member. The JSON of Members is
 *
 *     {"clusterId": "…", "leader": "host:port" or "", "leaderId"?: "…",
 *      "members": [{"nodeId": "…", "address": "host:port", "role": "voter" | "incoming" | "outgoing" | "learner",
 *                   "match"?: n, "lag"?: n, "lagBytes"?: n, "behind"?: "…", "active"?: true}],
 *      "removed": [{"nodeId": "…", "address": "host:port"}]}
 *
 * where match (the last log index known to be there), lag and lagBytes (entries behind the leader's last one, and about how
 * many bytes of its log), behind (of a learner: why it cannot become a voter yet) and active (heard of in the last election
 * timeout) are told by the leader only. Of the removed nodes the last few are told, with the address they had.
 */
import { type ByteReader, type ByteWriter, DecodeError } from "../lib/codec.ts";

/** A node, and where whoever asks believes it to be; an empty address: wherever it is. */
export interface NamedMember {
  readonly nodeId: string;
  /** `host:port`, or empty. */
  readonly address: string;
}

export interface Replacement {
  readonly old: NamedMember;
  readonly new: NamedMember;
}

export interface ChangeMembers {
  /** Learners that become voters. */
  readonly promote: readonly NamedMember[];
  /** Members that leave. */
  readonly remove: readonly NamedMember[];
  /** Voters that leave, each with the learner that takes its place. */
  readonly replace: readonly Replacement[];
}

export interface Join {
  readonly nodeId: string;
  /** `host:port`. */
  readonly address: string;
}

export function encodeChangeMembers(body: ByteWriter, change: ChangeMembers): void {
  body.varint(change.promote.length);
  for (const member of change.promote) writeMember(body, member);
  body.varint(change.remove.length);
  for (const member of change.remove) writeMember(body, member);
  body.varint(change.replace.length);
  for (const pair of change.replace) {
    writeMember(body, pair.old);
    writeMember(body, pair.new);
  }
}

export function decodeChangeMembers(reader: ByteReader): ChangeMembers {
  const change = {
    promote: readList(reader, readMember),
    remove: readList(reader, readMember),
    replace: readList(reader, () => ({ old: readMember(reader), new: readMember(reader) })),
  };
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

function writeMember(body: ByteWriter, { nodeId, address }: NamedMember): void {
  body.id(nodeId);
  body.text(address);
}

function readMember(reader: ByteReader): NamedMember {
  return { nodeId: reader.id(), address: reader.text(addressBytesMax) };
}

function readList<T>(reader: ByteReader, read: (reader: ByteReader) => T): T[] {
  const list: T[] = [];
  const count = reader.varint();
  if (count > changedMax) throw new DecodeError(`the members to change are more than ${changedMax}`);
  while (list.length < count) list.push(read(reader));
  return list;
}

const addressBytesMax = 512;
/** Members in one list of a change: far more than a cluster has. */
const changedMax = 1024;
