/** Changes of the membership, each from one configuration to the next (paper 6, thesis 4). They decide nothing. */
import type { NodeId } from "../raft/types.ts";
import { type Member, type Members, membersOf, type RemovedMember } from "./members.ts";

/** Learners that become voters, and members that leave. */
export interface VoterChange {
  readonly promote: readonly NodeId[];
  readonly remove: readonly NodeId[];
}

export function isJoint(members: Members): boolean {
  return members.outgoing.length > 0;
}

export function withLearner(members: Members, nodeId: NodeId, address: string): Members {
  return membersOf([...members.list, { nodeId, address, role: "learner" }], members.removed);
}

/** The same members, one of them at another address. */
export function withAddress(members: Members, nodeId: NodeId, address: string): Members {
  const list = members.list.map((member) => (member.nodeId === nodeId ? { ...member, address } : member));
  return membersOf(list, members.removed);
}

/** Joint, when voters change; else the new configuration itself. All at once, however many they are. */
export function withVoters(members: Members, { promote, remove }: VoterChange): Members {
  const list = members.list.flatMap((member): Member[] => {
    if (promote.includes(member.nodeId) && member.role === "learner")
      return [{ ...member, role: "incoming" }];
    if (!remove.includes(member.nodeId)) return [member];
    return member.role === "learner" ? [] : [{ ...member, role: "outgoing" }];
  });
  const gone = members.list.filter(({ nodeId }) => !list.some((member) => member.nodeId === nodeId));
  return membersOf(list, [...members.removed, ...gone.map(asRemoved)]);
}

/** What a joint configuration leads to. */
export function afterJoint(members: Members): Members {
  const list = members.list
    .filter(({ role }) => role !== "outgoing")
    .map((member): Member => (member.role === "incoming" ? { ...member, role: "voter" } : member));
  const gone = members.list.filter(({ role }) => role === "outgoing").map(asRemoved);
  return membersOf(list, [...members.removed, ...gone]);
}

function asRemoved({ nodeId, address }: Member): RemovedMember {
  return { nodeId, address };
}
