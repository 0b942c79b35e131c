import { Prng } from "../../src/env/prng.ts";
import { assert } from "../../src/lib/assert.ts";
import { describeMessage, describeState } from "../../src/raft/describe.ts";
import type { EntryId, NodeId } from "../../src/raft/types.ts";
import { appliedEverywhere, Cluster, type Node, type Tuning } from "./cluster.ts";

/** What a run has seen: a test that explores nothing proves nothing. */
export interface Coverage {
  decided: number;
  leaders: number;
  reads: number;
  replaced: number;
  dropped: number;
  crashes: number;
}

/** How often things break; each run draws its own, many of them zero, so that every mixture comes up. */
interface Faults {
  readonly lose: number;
  readonly duplicate: number;
  readonly reorder: number;
  readonly delay: number;
  readonly crash: number;
  readonly partition: number;
  readonly slowDisk: number;
  readonly dropLog: number;
  readonly stall: number;
  /** How often a node's time leaps, so that it campaigns against a leader that is well. */
  readonly hurry: number;
}

const roundsPerRun = 300;
const networkMax = 100;
/** After the faults stop, a leader and everybody's agreement must come within so many ticks of all. */
const healTicks = 200;

/** A cluster that suffers everything at random and is then left in peace. Replays from its seed. */
export class RandomRun {
  readonly #prng: Prng;
  readonly #cluster: Cluster;
  readonly #faults: Faults;
  readonly #proposals: EntryId[] = [];
  /** Written out only when something is wrong. */
  readonly #lines: (() => string)[] = [];
  /** Clocks that differ: in how many of 8 rounds a node ticks. */
  readonly #pace = new Map<NodeId, number>();
  readonly #leaders = new Set<string>();
  readonly coverage: Coverage = { decided: 0, leaders: 0, reads: 0, replaced: 0, dropped: 0, crashes: 0 };
  #counter = 0;

  constructor(seed: number) {
    this.#prng = new Prng(seed);
    const prng = this.#prng;
    const often = (most: number) => (prng.chance(1, 3) ? 0 : prng.int(1, most));
    this.#faults = {
      lose: often(20),
      duplicate: often(20),
      reorder: often(10),
      delay: often(8),
      crash: often(8),
      partition: often(12),
      slowDisk: often(9),
      dropLog: often(8),
      stall: often(4),
      hurry: often(12),
    };
    this.#cluster = new Cluster(prng.pick([1, 2, 3, 3, 3, 5, 5]), {
      tuning: randomTuning(prng),
      chance: () => prng.fork(),
      onEvent: (line) => this.#lines.push(line),
      onMessage: (message) => this.#lines.push(() => describeMessage(message)),
    });
    for (const id of this.#cluster.ids) this.#pace.set(id, prng.chance(1, 2) ? 8 : prng.int(1, 8));
  }

  /** Throws when anything is wrong; the trace's end is in the message. */
  run(): void {
    try {
      for (let round = 0; round < roundsPerRun; round++) this.#round();
      this.#recover();
    } catch (error) {
      const states = [...this.#cluster.nodes.values()].map((node) =>
        node.raft === undefined ? `${node.id} is down` : describeState(node.raft.getState()),
      );
      const text = [...this.#lines.slice(-80).map((line) => line()), ...states, String(error)].join("\n");
      throw new Error(text, { cause: error });
    }
    this.coverage.decided = this.#cluster.checker.decidedIndex;
    this.coverage.replaced = this.#cluster.checker.replacedCount;
    this.coverage.leaders = this.#leaders.size;
  }

  /** A round: time, messages, disks and clients each get a chance to go on, then something may break. */
  #round(): void {
    const prng = this.#prng;
    const cluster = this.#cluster;
    const faults = this.#faults;
    for (const { id, raft } of cluster.nodes.values()) {
      if (raft === undefined || !prng.chance(this.#pace.get(id)!, 8)) continue;
      cluster.tick(id, prng.chance(faults.hurry, 400) ? prng.int(2, 15) : 1);
    }
    this.#deliver();
    for (const id of cluster.ids) if (prng.chance(10 - faults.slowDisk, 10)) cluster.finishWrite(id);
    for (const { id, raft } of cluster.nodes.values()) {
      if (raft === undefined) continue;
      if (raft.isLeader) this.#leaders.add(`${id} ${raft.term}`);
      if (prng.chance(raft.isLeader ? 10 : 1, 30)) this.#propose(id);
      if (prng.chance(raft.isLeader ? 10 : 1, 30)) this.#read(id);
    }
    this.#breakSomething(cluster.node(prng.pick(cluster.ids)));
  }

  #deliver(): void {
    const prng = this.#prng;
    const cluster = this.#cluster;
    const faults = this.#faults;
    const messages = [...cluster.network];
    if (prng.chance(faults.reorder, 10)) shuffle(messages, prng);
    for (const message of messages) {
      if (prng.chance(faults.delay, 10)) continue;
      if (prng.chance(faults.lose, 60)) cluster.network.splice(cluster.network.indexOf(message), 1);
      else cluster.deliver(message);
      if (prng.chance(faults.duplicate, 60)) cluster.network.push(message);
    }
    while (cluster.network.length > networkMax) cluster.network.splice(prng.int(0, networkMax - 1), 1);
  }

  #breakSomething(node: Node): void {
    const prng = this.#prng;
    const faults = this.#faults;
    const cluster = this.#cluster;
    if (prng.chance(faults.crash, 100)) this.#crash(node);
    if (node.raft === undefined && prng.chance(1, 10)) this.#restart(node);
    if (prng.chance(faults.partition, 100)) this.#partition();
    if (prng.chance(1, 40)) cluster.heal();
    if (prng.chance(faults.dropLog, 40)) this.#dropLog(node);
    if (node.raft === undefined || !prng.chance(faults.stall, 100)) return;
    if (prng.chance(1, 2)) cluster.run(node.id, (raft) => raft.overslept(prng.int(1, 30)));
    else cluster.run(node.id, (raft) => raft.reportUnreachable(prng.pick(cluster.ids)));
  }

  #propose(id: NodeId): void {
    const text = `${this.#counter++}`.padEnd(this.#prng.int(1, 40), ".");
    const result = this.#cluster.propose(id, text);
    if (result.ok) this.#proposals.push({ index: result.index, term: result.term });
  }

  #read(id: NodeId): void {
    if (this.#cluster.readIndex(id, this.#counter++)) this.coverage.reads++;
  }

  #crash(node: Node): void {
    if (node.raft === undefined) return;
    this.#lines.push(() => `${node.id} crashes`);
    this.#cluster.crash(node.id, this.#prng.chance(1, 2) ? "kept" : "lost");
    this.coverage.crashes++;
    if (this.#prng.chance(1, 2)) this.#restart(node);
  }

  /** Its state machine may have lost a suffix of what was applied, but nothing that the log has dropped. */
  #restart(node: Node): void {
    this.#lines.push(() => `${node.id} restarts`);
    this.#cluster.restart(node.id, this.#prng.int(node.disk.firstIndex - 1, node.applied.length));
  }

  #partition(): void {
    const prng = this.#prng;
    const { ids, nodes } = this.#cluster;
    if (prng.chance(1, 3)) {
      for (let links = prng.int(1, 3); links > 0; links--) this.#cluster.cut(prng.pick(ids), prng.pick(ids));
      return;
    }
    const leader = [...nodes.values()].find(({ raft }) => raft?.isLeader);
    const left = ids.filter((id) =>
      leader !== undefined && prng.chance(1, 2) ? id === leader.id : prng.chance(1, 2),
    );
    this.#cluster.partition([left, ids.filter((id) => !left.includes(id))]);
  }

  /** Drops old entries, as far as everybody has them: without snapshots nobody else could be brought up to date. */
  #dropLog(node: Node): void {
    const { disk } = node;
    const most = Math.min(...[...this.#cluster.nodes.values()].map(({ applied }) => applied.length));
    if (most < disk.firstIndex) return;
    disk.dropUpTo(this.#prng.int(disk.firstIndex, most));
    this.coverage.dropped++;
  }

  #recover(): void {
    const cluster = this.#cluster;
    this.#lines.push(() => "peace");
    cluster.heal();
    for (const node of cluster.nodes.values()) if (node.raft === undefined) this.#restart(node);
    let wanted: EntryId | undefined;
    for (let ticks = 0; ticks < healTicks; ticks++) {
      cluster.round();
      const leader = [...cluster.nodes.values()].find(({ raft }) => raft!.isLeader);
      if (wanted !== undefined && appliedEverywhere(cluster) >= wanted.index) break;
      const result = leader && ticks % 40 === 39 ? cluster.propose(leader.id, "last") : undefined;
      if (result?.ok) wanted = result;
    }
    assert(wanted !== undefined, "a leader comes after the faults stop");
    this.#checkEnd(wanted);
  }

  #checkEnd(wanted: EntryId): void {
    const { checker, nodes } = this.#cluster;
    assert(appliedEverywhere(this.#cluster) >= wanted.index, "everybody applies what was proposed in peace");
    const last = checker.decided(checker.decidedIndex)!;
    // A proposal beyond the end is decided too once a later term has gone on: nobody can bring it back.
    for (const { index, term } of this.#proposals)
      assert(index <= last.index || term < last.term, `the proposal ${index}/${term} is decided`);
    for (const { raft, applied } of nodes.values()) {
      assert(raft!.commit === checker.decidedIndex, "everybody knows all that is decided");
      assert(applied.length === checker.decidedIndex, "everybody has applied all that is decided");
    }
  }
}

function randomTuning(prng: Prng): Tuning {
  const heartbeatTicks = prng.int(1, 2);
  const electionTicksMin = heartbeatTicks + prng.int(1, 6);
  return {
    heartbeatTicks,
    electionTicksMin,
    electionTicksMax: electionTicksMin + prng.int(1, 8),
    diskStallTicks: prng.int(10, 30),
    appendBytesMax: prng.pick([1, 30, 1000]),
    windowBytesMax: prng.pick([1, 60, 1000]),
    uncommittedBytesMax: prng.pick([50, 1000]),
  };
}

function shuffle<T>(items: T[], prng: Prng): void {
  for (let at = items.length - 1; at > 0; at--) {
    const other = prng.int(0, at);
    [items[at], items[other]] = [items[other]!, items[at]!];
  }
}
