import type { Configuration, NodeId } from "../../src/raft/types.ts";

/** The definition: every half that has members has more than half of them. */
export function dumbQuorum({ incoming, outgoing }: Configuration, holders: ReadonlySet<NodeId>): boolean {
  return [incoming, outgoing].every(
    (half) => half.length === 0 || 2 * half.filter((id) => holders.has(id)).length > half.length,
  );
}

/** Whether every quorum of the one has somebody in every quorum of the other: tries all ways to divide the voters. */
export function alwaysMeet(one: Configuration, other: Configuration): boolean {
  const voters = [...new Set([one, other].flatMap(({ incoming, outgoing }) => [...incoming, ...outgoing]))];
  for (let bits = 0; bits < 1 << voters.length; bits++) {
    const side = new Set(voters.filter((_, at) => bits & (1 << at)));
    const rest = new Set(voters.filter((id) => !side.has(id)));
    if (dumbQuorum(one, side) && dumbQuorum(other, rest)) return false;
  }
  return true;
}
