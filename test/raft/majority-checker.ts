import { assert } from "../../src/lib/assert.ts";
import type { Configuration, Entry, NodeId } from "../../src/raft/types.ts";
import type { Node } from "./cluster.ts";
import { decodeConfiguration, describeConfiguration } from "./configuration-text.ts";
import { alwaysMeet } from "./dumb-quorum.ts";

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
  /** By the texts of two configurations, whether they always meet. */
  readonly #known = new Map<string, boolean>();
  readonly #texts = new WeakMap<Configuration, string>();
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
    const inForce = new Map<string, Configuration>();
    let decided = this.#decided;
    for (const { raft, founding } of this.#nodes.values()) {
      if (founding.incoming.length > 0) decided ??= founding;
      if (raft === undefined || raft.configuration.incoming.length === 0) continue;
      if (last === undefined || holds(raft, last))
        inForce.set(this.#textOf(raft.configuration), raft.configuration);
    }
    assert(decided !== undefined, "somebody has founded the cluster");
    const open = [...inForce.keys()].filter((text) => text !== this.#textOf(decided));
    assert(open.length <= 1, `one change at a time: ${open.join(" and ")} after ${this.#textOf(decided)}`);
    const all = [...inForce];
    for (const [one, first] of all)
      for (const [other, second] of all)
        if (one < other)
          assert(this.#meet(one, other, first, second), `no two majorities: ${one} and ${other}`);
  }

  #meet(one: string, other: string, first: Configuration, second: Configuration): boolean {
    const key = `${one} ${other}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const result = alwaysMeet(first, second);
    this.#known.set(key, result);
    return result;
  }

  #textOf(configuration: Configuration): string {
    const known = this.#texts.get(configuration);
    if (known !== undefined) return known;
    const text = describeConfiguration(configuration);
    this.#texts.set(configuration, text);
    return text;
  }
}

/** What a log has dropped was decided, so that it agrees with everything that is. */
function holds(raft: NonNullable<Node["raft"]>, { index, term }: Entry): boolean {
  const { firstIndex, last } = raft.getState();
  if (index < firstIndex) return true;
  return index <= last.index && raft.entries(index, 0)[0]!.term === term;
}
