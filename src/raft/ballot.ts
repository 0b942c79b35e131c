import { isQuorum, isRefused } from "./quorum.ts";
import type { Configuration, NodeId } from "./types.ts";

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
