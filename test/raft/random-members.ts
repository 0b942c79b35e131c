import type { Prng } from "../../src/env/prng.ts";
import { assert } from "../../src/lib/assert.ts";
import type { Configuration, Index, NodeId } from "../../src/raft/types.ts";
import { type Cluster, type Node, nodeId } from "./cluster.ts";
import { decodeConfiguration, describeConfiguration } from "./configuration-text.ts";
import { dumbQuorum } from "./dumb-quorum.ts";
import type { Coverage } from "./random-run.ts";

/** How often members are changed; 0 leaves the cluster as it was founded. */
export interface MemberFaults {
  readonly change: number;
  readonly join: number;
  /** A node is lost for ever, with its disk. */
  readonly wipe: number;
  readonly transfer: number;
  readonly gone: number;
}

const nodesMax = 8;
const votersMax = 5;

/** What the owners of the nodes do about members, as chance has it: any legal change, by any leader, at any time. */
export class RandomMembers {
  readonly #prng: Prng;
  readonly #cluster: Cluster;
  readonly #faults: MemberFaults;
  readonly #coverage: Coverage;
  readonly #note: (line: () => string) => void;
  readonly #wiped = new Set<NodeId>();
  readonly #proposed: { readonly index: Index; readonly configuration: Configuration }[] = [];

  constructor(
    prng: Prng,
    cluster: Cluster,
    faults: MemberFaults,
    coverage: Coverage,
    note: (line: () => string) => void,
  ) {
    this.#prng = prng;
    this.#cluster = cluster;
    this.#faults = faults;
    this.#coverage = coverage;
    this.#note = note;
  }

  isWiped(id: NodeId): boolean {
    return this.#wiped.has(id);
  }

  round(): void {
    const prng = this.#prng;
    const faults = this.#faults;
    const cluster = this.#cluster;
    if (cluster.nodes.size < nodesMax && prng.chance(faults.join, 200)) this.#join();
    for (const { id, raft } of cluster.nodes.values()) {
      if (raft === undefined) continue;
      if (prng.chance(1, 3)) this.leaveJoint(id);
      if (prng.chance(faults.change, raft.isLeader ? 40 : 1000)) this.#change(id);
      if (prng.chance(faults.transfer, raft.isLeader ? 100 : 2000)) this.#transfer(id);
      if (prng.chance(faults.gone, 300)) this.#reportGone(id);
    }
    const node = cluster.node(prng.pick(cluster.ids));
    if (prng.chance(faults.wipe, 500) && this.#canLose(node)) this.#wipe(node);
  }

  /** A process has died: some notice at once, and some do not. */
  crashed(id: NodeId): void {
    for (const other of this.#cluster.nodes.values())
      if (other.raft !== undefined && this.#prng.chance(this.#faults.gone, 8)) {
        this.#coverage.gone++;
        this.#cluster.run(other.id, (raft) => raft.reportGone(id));
      }
  }

  /** A leader, also a new one, goes on from a joint configuration; those who leave may stay as learners. */
  leaveJoint(id: NodeId): void {
    const raft = this.#cluster.raft(id);
    const { incoming, outgoing, learners } = raft.configuration;
    if (!raft.isLeader || outgoing.length === 0) return;
    const leaving = outgoing.filter((other) => !incoming.includes(other));
    const demoted = leaving.filter((other) => !this.isWiped(other) && this.#prng.chance(1, 4));
    this.#propose(id, { incoming, outgoing: [], learners: [...learners, ...demoted] });
  }

  /** In peace: out with those who are lost for ever. Returns whether there is nothing left to do. */
  settle(id: NodeId): boolean {
    const { incoming, outgoing, learners } = this.#cluster.raft(id).configuration;
    if (outgoing.length > 0) {
      this.leaveJoint(id);
      return false;
    }
    const isThere = (other: NodeId) => !this.isWiped(other);
    if ([...incoming, ...learners].every(isThere)) return true;
    const kept = incoming.filter(isThere);
    const isSame = kept.length === incoming.length;
    this.#propose(id, {
      incoming: kept,
      outgoing: isSame ? [] : incoming,
      learners: learners.filter(isThere),
    });
    return false;
  }

  #join(): void {
    const id = nodeId(this.#cluster.nodes.size + 1);
    this.#note(() => `${id} joins`);
    this.#cluster.join(id);
  }

  #change(id: NodeId): void {
    const prng = this.#prng;
    const { incoming, outgoing } = this.#cluster.raft(id).configuration;
    if (incoming.length === 0 || outgoing.length > 0) return;
    const present = this.#cluster.ids.filter((other) => !this.isWiped(other));
    if (prng.chance(1, 10)) this.#proposeIllegal(id, present);
    let next = incoming;
    if (prng.chance(2, 3)) {
      const wanted = present.filter((other) => prng.chance(1, incoming.includes(other) ? 2 : 3));
      const kind = prng.int(1, 4);
      if (kind === 1) next = wanted.filter((other) => !incoming.includes(other));
      else next = kind === 2 ? wanted.filter((other) => other !== id) : wanted;
      next = next.slice(0, votersMax);
      if (next.length === 0) return;
    }
    const others = present.filter((other) => !next.includes(other) && !incoming.includes(other));
    this.#propose(id, {
      incoming: next,
      outgoing: next === incoming ? [] : incoming,
      learners: others.filter(() => prng.chance(1, 3)),
    });
    if (prng.chance(1, 4)) this.#cutOff(id);
  }

  #propose(id: NodeId, configuration: Configuration): void {
    const text = describeConfiguration(configuration);
    const result = this.#cluster.change(id, text);
    if (!result.ok) {
      assert(result.reason !== "illegal", `${text} is legal after what ${id} has: ${result.text}`);
      return;
    }
    this.#note(() => `${id} proposes ${result.index}/${result.term} ${text}`);
    this.#proposed.push({ index: result.index, configuration });
    this.#coverage.changes++;
    if (configuration.outgoing.length > 0) this.#coverage.joint++;
    if (configuration.learners.length > 0) this.#coverage.learners++;
    if (!configuration.incoming.includes(id)) this.#coverage.leaderLeaves++;
  }

  /** Only some hear of what this leader has proposed. */
  #cutOff(id: NodeId): void {
    const { ids } = this.#cluster;
    const near = ids.filter((other) => other === id || this.#prng.chance(1, 4));
    this.#note(() => `cut off: ${near}`);
    this.#cluster.partition([near, ids.filter((other) => !near.includes(other))]);
  }

  /** Voters without the way over a joint configuration. */
  #proposeIllegal(id: NodeId, present: readonly NodeId[]): void {
    const { incoming } = this.#cluster.raft(id).configuration;
    const others = present.filter((other) => !incoming.includes(other));
    if (others.length === 0) return;
    const result = this.#cluster.change(id, [...incoming, this.#prng.pick(others)].join(","));
    assert(!result.ok, "voters do not change at once");
  }

  #transfer(id: NodeId): void {
    const { ids } = this.#cluster;
    const to = this.#prng.chance(1, 4) ? undefined : this.#prng.pick(ids);
    this.#note(() => `${id} is to hand over to ${to}`);
    this.#cluster.run(id, (raft) => raft.transferLeadership(to));
  }

  /** Whether it is true or not. */
  #reportGone(id: NodeId): void {
    const other = this.#cluster.raft(id).leader ?? this.#prng.pick(this.#cluster.ids);
    this.#note(() => `${id} hears that ${other} is gone`);
    this.#coverage.gone++;
    this.#cluster.run(id, (raft) => raft.reportGone(other));
  }

  #wipe(node: Node): void {
    this.#note(() => `${node.id} is lost for ever`);
    this.#wiped.add(node.id);
    this.#coverage.wiped++;
    if (node.raft !== undefined) this.#cluster.crash(node.id);
  }

  /** Whether every configuration that may yet be in force has a quorum without this node, and without those lost before. */
  #canLose(node: Node): boolean {
    if (this.isWiped(node.id)) return false;
    const { checker, ids, nodes } = this.#cluster;
    const rest = new Set(ids.filter((id) => id !== node.id && !this.isWiped(id)));
    let decided: Configuration | undefined;
    let index = checker.decidedIndex;
    for (; index > 0 && decided === undefined; index--) {
      const entry = checker.decided(index)!;
      if (entry.kind === "config") decided = decodeConfiguration(entry.data);
    }
    decided ??= [...nodes.values()][0]!.founding;
    const later = this.#proposed.filter((proposal) => proposal.index > index);
    return [decided, ...later.map(({ configuration }) => configuration)].every((each) =>
      dumbQuorum(each, rest),
    );
  }
}
