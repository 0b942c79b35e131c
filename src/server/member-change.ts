/**
 * Whether a change of the members that was asked for can be made, as the members are now. Nobody may get something else than
 * was asked for: each part has to be possible, or to be done already, or the whole is refused with what is the case.
 */
import type { ChangeMembers, NamedMember } from "../rpc/member-requests.ts";
import { type Members, wasRemoved } from "./members.ts";
import type { VoterChange } from "./membership.ts";

export type ChangePlan =
  | { readonly kind: "done" }
  | ({ readonly kind: "change" } & VoterChange)
  | { readonly kind: "refused"; readonly text: string };

/** In a joint configuration those that come count as voters, and those that go as removed. */
type Standing = "voter" | "learner" | "removed" | "unknown";

type NodeIdOf = VoterChange["promote"][number];

export function planChange(members: Members, change: ChangeMembers): ChangePlan {
  const text = namedTwice(members, change) ?? problemOf(members, change);
  if (text !== undefined) return { kind: "refused", text };
  const isIn =
    (...wanted: readonly Standing[]) =>
    (named: NamedMember) =>
      wanted.includes(standingOf(members, named));
  const coming = [...change.promote, ...change.replace.map((pair) => pair.new)];
  const going = [...change.remove, ...change.replace.map((pair) => pair.old)];
  const promote = idsOf(coming.filter(isIn("learner")));
  const remove = idsOf(going.filter(isIn("voter", "learner")));
  return promote.length + remove.length === 0 ? { kind: "done" } : { kind: "change", promote, remove };
}

function standingOf(members: Members, { nodeId }: NamedMember): Standing {
  const role = members.list.find((member) => member.nodeId === nodeId)?.role;
  if (role === "learner") return "learner";
  if (role === "voter" || role === "incoming") return "voter";
  return role === "outgoing" || wasRemoved(members, nodeId) ? "removed" : "unknown";
}

/** A node that is named in two places wants two things, or the same thing twice over; only a repeated word is harmless. */
function namedTwice(members: Members, { promote, remove, replace }: ChangeMembers): string | undefined {
  const same = replace.find((pair) => pair.old.nodeId === pair.new.nodeId);
  if (same !== undefined)
    return `Cannot replace ${nameOf(members, same.old)} by itself: OLD and NEW are the same node`;
  const pairs = new Map(replace.map((pair) => [`${pair.old.nodeId} ${pair.new.nodeId}`, pair]));
  const coming = [...idsOf(promote), ...[...pairs.values()].map((pair) => pair.new.nodeId)];
  const going = [...idsOf(remove), ...[...pairs.values()].map((pair) => pair.old.nodeId)];
  const all = [...coming, ...going];
  const twice = all.find((id, at) => all.indexOf(id) !== at);
  if (twice === undefined) return undefined;
  const name = nameOf(members, { nodeId: twice, address: "" });
  if (coming.includes(twice) && going.includes(twice))
    return `Cannot change the members: ${name} is named both as one that comes and as one that goes; ask for one thing`;
  return `Cannot change the members: ${name} is named in two places; name each node once`;
}

function problemOf(members: Members, { promote, remove, replace }: ChangeMembers): string | undefined {
  for (const named of [...promote, ...remove, ...replace.flatMap((pair) => [pair.old, pair.new])]) {
    const text = elsewhere(members, named);
    if (text !== undefined) return text;
  }
  for (const named of promote) {
    const text = problemOfComing(members, named, "make a voter of");
    if (text !== undefined) return text;
  }
  for (const named of remove)
    if (standingOf(members, named) === "unknown")
      return `Cannot remove ${named.nodeId}: it is no member, and none that was removed lately; ${whoIs(members)}`;
  for (const pair of replace) {
    const text = problemOfPair(members, pair.old, pair.new);
    if (text !== undefined) return text;
  }
  return undefined;
}

/** The member was named by an address, and is not there any more: another one may be. */
function elsewhere(members: Members, { nodeId, address }: NamedMember): string | undefined {
  const found = members.list.find((member) => member.nodeId === nodeId);
  if (found === undefined || address === "" || found.address === address) return undefined;
  return (
    `Cannot change the members: node ${nodeId} is at ${found.address} now, not at ${address}; look at ` +
    `"kvraft member list"`
  );
}

function problemOfComing(members: Members, named: NamedMember, action: string): string | undefined {
  const standing = standingOf(members, named);
  const name = nameOf(members, named);
  if (standing === "removed")
    return `Cannot ${action} ${name}: it was removed from the cluster; empty its folder and start it with --join`;
  if (standing === "unknown")
    return `Cannot ${action} ${name}: it is no member; start it with "kvraft server CONFIG --join HOST:PORT" first`;
  return undefined;
}

function problemOfPair(members: Members, old: NamedMember, next: NamedMember): string | undefined {
  const [oldStanding, newStanding] = [standingOf(members, old), standingOf(members, next)];
  const [oldName, newName] = [nameOf(members, old), nameOf(members, next)];
  const action = `Cannot replace ${oldName} by ${newName}`;
  if (oldStanding === "unknown")
    return (
      `${action}: ${oldName} is no member, and none that was removed lately, and ${newName} is ` +
      `${described[newStanding]}; ${whoIs(members)}`
    );
  if (oldStanding === "learner")
    return (
      `${action}: ${oldName} is a learner, so that there would be one voter more; use ` +
      `"kvraft member add ${next.nodeId}" and "kvraft member remove ${old.nodeId}"`
    );
  const problem = problemOfComing(members, next, `replace ${oldName} by`);
  if (problem !== undefined) return problem;
  if (oldStanding === "voter" && newStanding === "voter")
    return (
      `${action}: ${newName} is a voter already, so that there would be one voter fewer; if that is wanted, use ` +
      `"kvraft member remove ${old.nodeId}"`
    );
  if (oldStanding === "removed" && newStanding === "learner")
    return (
      `${action}: ${oldName} was removed already, and ${newName} is a learner; to make a voter of it use ` +
      `"kvraft member add ${next.nodeId}"`
    );
  return undefined;
}

const described: Readonly<Record<Standing, string>> = {
  voter: "a voter",
  learner: "a learner",
  removed: "removed",
  unknown: "none either",
};

/** A node by its address, where one is known, and its id. */
function nameOf({ list, removed }: Members, { nodeId, address }: NamedMember): string {
  const known = [...list, ...removed].find((member) => member.nodeId === nodeId)?.address ?? address;
  return known === "" ? nodeId : `${known} (${nodeId})`;
}

function whoIs({ list }: Members): string {
  return `the members are ${list.map(({ nodeId, address }) => `${address} (${nodeId})`).join(", ")}`;
}

/** Each of them once. */
function idsOf(named: readonly NamedMember[]): NodeIdOf[] {
  return [...new Set(named.map(({ nodeId }) => nodeId as NodeIdOf))];
}
