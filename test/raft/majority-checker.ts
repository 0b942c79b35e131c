import { assert } from "../../src/lib/assert.ts";
import type { Configuration, Entry, NodeId } from "../../src/raft/types.ts";
import type { Node } from "./cluster.ts";
import { decodeConfiguration } from "./configuration-text.ts";
import { Majorities } from "./majorities.ts";

/**
 * Never two disjoint majorities. At each step, of all nodes that are up and whose logs hold everything that is decided:
 *
 * 1. any two configurations in force there have no quorums that share nobody, so that no two leaders could both decide;
 * 2. at most one of these configurations is not decided: the next change is made when the last one is.
 *
 * Why only logs that hold all that is decided: a node whose log lacks a decided entry D can decide nothing any more, and
 * is not elected either. D was decided by a leader with the configuration C in force, by a quorum of C on whose disks it
 * is, in a term that is later than that node's last entry. By induction over the changes (each one meets the one before,
 * which is what rule 1 says of the moment when both were in force) that quorum has somebody in every quorum of the
 * configuration that the node goes by; who holds D is in a later term, and neither votes for a log without D nor
 * acknowledges to an older leader. So these nodes' configurations may be as old as they like.
 *
 * Why it holds: say X and Y are in force at two such logs, both not decided, proposed by the leaders of terms T and T'.
 * Each leader has decided an entry of its own term before it proposes, so both logs hold it; terms never fall along a
 * log, and X comes after the other's entry: T >= T', and in the same way T' >= T. A leader proposes one change at a
 * time, so X is Y. What is left are the newest decided configuration and its one successor, which is either reached by
 * way of both halves, or leaves a joint configuration for one of its halves: both kinds of neighbours meet.
 */
export class MajorityChecker {
  readonly #nodes: ReadonlyMap<NodeId, Node>;
  readonly #majorities = new Majorities();
  #decided: Configuration | undefined;

  constructor(nodes: ReadonlyMap<NodeId, Node>) {
    this.#nodes = nodes;
  }

  /** The newest configuration that is decided, or undefined while that is the one which the cluster was founded with. */
  get decided(): Configuration | undefined {
    return this.#decided;
  }

  decide(entry: Entry): void {
    if (entry.kind === "config") this.#decided = decodeConfiguration(entry.data);
  }

  /** `last` is the last decided entry, or undefined when nothing is. */
  check(last: Entry | undefined): void {
    const nodes = [...this.#nodes.values()];
    const decided = this.#decided ?? nodes.find(({ founding }) => founding.incoming.length > 0)?.founding;
    assert(decided !== undefined, "somebody has founded the cluster");
    const cores = nodes.flatMap(({ raft }) => raft ?? []);
    this.#majorities.check(cores, decided, last);
  }
}
