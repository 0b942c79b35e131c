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

/**
 * The member of this id or address. Of several at one address it is the one that came last: a server that lost its folder
 * joins as another node, beside the one that it was.
 */
export function findMember({ members }: MemberList, name: MemberName): MemberStatus | undefined {
  return members.findLast((member) => isNamed(member, name));
}

/** As `findMember` for what cannot be taken back: several at one address are a KvraftError (USAGE). */
export function findOnlyMember({ members }: MemberList, name: MemberName): MemberStatus | undefined {
  const found = members.filter((member) => isNamed(member, name));
  if (found.length <= 1) return found[0];
  const ids = found.map(({ nodeId, role }) => `${nodeId} (${role})`).join(", ");
  throw new KvraftError("USAGE", `Cannot tell which member at ${name} is meant: ${ids}; name it by its id`);
}

function isNamed({ nodeId, address }: MemberStatus, name: MemberName): boolean {
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
