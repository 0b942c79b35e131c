import type { Configuration, Index, NodeId } from "./types.ts";

/** Everybody who has a vote, each once. */
export function voters(configuration: Configuration): NodeId[] {
  return [...new Set([...configuration.incoming, ...configuration.outgoing])];
}

/** Everybody who is sent the log, each once. */
export function members(configuration: Configuration): NodeId[] {
  return [...new Set([...configuration.incoming, ...configuration.outgoing, ...configuration.learners])];
}

export function isVoter(configuration: Configuration, id: NodeId): boolean {
  return configuration.incoming.includes(id) || configuration.outgoing.includes(id);
}

/** Whether those who `has` are a majority, of both halves while the configuration is joint (paper 6). */
export function isQuorum(configuration: Configuration, has: (id: NodeId) => boolean): boolean {
  return isMajority(configuration.incoming, has) && isMajority(configuration.outgoing, has);
}

/** Whether those who `refused` leave no majority to be had any more. */
export function isRefused(configuration: Configuration, refused: (id: NodeId) => boolean): boolean {
  return !isQuorum(configuration, (id) => !refused(id));
}

/** The largest index that a quorum holds, when `held` tells what each voter holds. */
export function quorumIndex(configuration: Configuration, held: (id: NodeId) => Index): Index {
  return Math.min(majorityIndex(configuration.incoming, held), majorityIndex(configuration.outgoing, held));
}

function isMajority(ids: readonly NodeId[], has: (id: NodeId) => boolean): boolean {
  if (ids.length === 0) return true;
  let count = 0;
  for (const id of ids) if (has(id)) count++;
  return count > ids.length / 2;
}

/** An empty half decides nothing: it lets every index pass. */
function majorityIndex(ids: readonly NodeId[], held: (id: NodeId) => Index): Index {
  if (ids.length === 0) return Number.POSITIVE_INFINITY;
  const descending = ids.map(held).sort((a, b) => b - a);
  return descending[Math.floor(ids.length / 2)]!;
}
