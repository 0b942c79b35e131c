import type { MemberList, MemberStatus } from "../client/member-list.ts";
import { formatAddress, parseAddress } from "../lib/address.ts";
import { KvraftError } from "../lib/error.ts";
import { usageError } from "./args.ts";
import type { Command } from "./context.ts";

/** A node as a command line names it, in the one way in which members are compared: an id or a host:port. */
export type MemberName = string;

/** Takes an id or a host:port; anything else is a KvraftError (USAGE). */
export function parseMemberName(text: string, command: Command): MemberName {
  if (/^[0-9a-f]{16}$/i.test(text)) return text.toLowerCase();
  const address = parseAddress(text);
  if (address !== undefined) return formatAddress(address);
  throw usageError(
    `${command.name} found ${JSON.stringify(text)}, wanted a node id (16 hexadecimal digits) or its host:port`,
    command,
  );
}

/** A node that a command line names: a member, or one that was removed. */
export interface FoundNode {
  readonly nodeId: string;
  readonly address: string;
  /** As the list says it; undefined when it was removed. */
  readonly member: MemberStatus | undefined;
  /** For the leader, which refuses a member that was named by an address and is not there any more. */
  readonly reference: { readonly nodeId: string; readonly address: string };
}

/**
 * The node of this id or address: a member, or else one that was removed; undefined when there is neither. Several members
 * at one address are a KvraftError (USAGE): a server that lost its folder joins as another node, beside the one that it was.
 */
export function findNode({ members, removed }: MemberList, name: MemberName): FoundNode | undefined {
  const found = members.filter((member) => isNamed(member, name));
  if (found.length > 1) {
    const ids = found.map(({ nodeId, role }) => `${nodeId} (${role})`).join(", ");
    throw new KvraftError("USAGE", `Cannot tell which member at ${name} is meant: ${ids}; name it by its id`);
  }
  const [member] = found;
  if (member !== undefined) {
    const { nodeId, address } = member;
    return { nodeId, address, member, reference: { nodeId, address: name === nodeId ? "" : address } };
  }
  const gone = removed.findLast((node) => isNamed(node, name));
  return gone && { ...gone, member, reference: { nodeId: gone.nodeId, address: "" } };
}

function isNamed({ nodeId, address }: { nodeId: string; address: string }, name: MemberName): boolean {
  return nodeId === name || address === name;
}

/** For a node that has to be a member and is none. */
export function noMember(action: string, name: MemberName, list: MemberList): KvraftError {
  const known = list.members.map(({ address }) => address).join(", ");
  return new KvraftError(
    "NOT_FOUND",
    `Cannot ${action} ${name}: it is no member of cluster ${list.clusterId} (members: ${known}); a new node becomes one ` +
      `by kvraft server CONFIG --join ${list.leader || "HOST:PORT"}`,
  );
}

/** For a node that has to be a member, or to have been one. */
export function neverMember(action: string, name: MemberName, list: MemberList): KvraftError {
  const known = list.members.map(({ nodeId, address }) => `${address} (${nodeId})`).join(", ");
  return new KvraftError(
    "NOT_FOUND",
    `Cannot ${action} ${name}: cluster ${list.clusterId} has no such member, and none that was removed lately had this ` +
      `id or address; nothing was changed (members: ${known})`,
  );
}
