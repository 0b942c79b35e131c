import { isQuorum, isRefused } from "./quorum.ts";
import type { Configuration, NodeId, RequestVote } from "./types.ts";

/** The votes of one campaign. The first answer of a voter counts; answers of strangers do not. */
export class Ballot {
  readonly #votes = new Map<NodeId, boolean>();

  record(voter: NodeId, granted: boolean): void {
    if (!this.#votes.has(voter)) this.#votes.set(voter, granted);
  }

  result(configuration: Configuration): "won" | "lost" | "open" {
    if (isQuorum(configuration, (id) => this.#votes.get(id) === true)) return "won";
    if (isRefused(configuration, (id) => this.#votes.get(id) === false)) return "lost";
    return "open";
  }
}

/**
 * Of two nodes with equal logs that begin to ask at the same moment, as followers do whose leader has died, one goes
 * first: else each would vote for itself, and all wait for another timeout. Only for a moment may that count, or a node
 * which cannot win by itself would hold up the others.
 */
export function isBefore(
  own: Pick<RequestVote, "from" | "last">,
  other: Pick<RequestVote, "from" | "last">,
): boolean {
  const isEqual = own.last.index === other.last.index && own.last.term === other.last.term;
  return isEqual && own.from > other.from;
}
