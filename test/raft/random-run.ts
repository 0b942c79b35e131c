import { Prng } from "../../src/env/prng.ts";
import { assert } from "../../src/lib/assert.ts";
import { describeMessage, describeState } from "../../src/raft/describe.ts";
import { members } from "../../src/raft/quorum.ts";
import type { EntryId, Index, Message, NodeId } from "../../src/raft/types.ts";
import { Cluster, type Node, type Tuning } from "./cluster.ts";
import { describeConfiguration } from "./configuration-text.ts";
import { type MemberFaults, RandomMembers } from "./random-members.ts";
import { RandomSnapshots } from "./random-snapshots.ts";

/** What a run has seen: a test that explores nothing proves nothing. */
export interface Coverage {
  decided: number;
  leaders: number;
  reads: number;
  replaced: number;
  dropped: number;
  crashes: number;
  /** Configurations that were proposed, of them joint ones, ones with learners, and ones that leave their leader out. */
  changes: number;
  joint: number;
  learners: number;
  leaderLeaves: number;
  /** Configurations that gave way to the entry of a later leader. */
  configurationsReplaced: number;
  wiped: number;
  gone: number;
  /** Terms for which a node campaigned because the leader asked it to, and terms led that way. */
  transfers: number;
  transferred: number;
  offers: number;
  snapshots: number;
  /** Snapshots in whose place a log was dropped that had something. */
  logsBegunAnew: number;
  /** Crashes between a state and its log. */
  crashesWhileSwapped: number;
}

export function noCoverage(): Coverage {
  return {
    decided: 0,
    leaders: 0,
    reads: 0,
    replaced: 0,
    dropped: 0,
    crashes: 0,
    changes: 0,
    joint: 0,
    learners: 0,
    leaderLeaves: 0,
    configurationsReplaced: 0,
    wiped: 0,
    gone: 0,
    transfers: 0,
    transferred: 0,
    offers: 0,
    snapshots: 0,
    logsBegunAnew: 0,
    crashesWhileSwapped: 0,
  };
}

/** How often things break; each run draws its own, many of them zero, so that every mixture comes up. */
interface Faults extends MemberFaults {
  readonly lose: number;
  readonly duplicate: number;
  readonly reorder: number;
  readonly delay: number;
  readonly crash: number;
  readonly partition: number;
  readonly slowDisk: number;
  readonly dropLog: number;
  /** The log is dropped beyond what others have. */
  readonly compact: number;
  readonly stall: number;
  /** How often a node's time leaps, so that it campaigns against a leader that is well. */
  readonly hurry: number;
}

const roundsPerRun = 300;
const networkMax = 100;
/** `LINES` shows more of a run that failed. */
const linesShown = Number(process.env["LINES"] ?? 80);
/** After the faults stop, a leader and everybody's agreement must come within so many ticks of all. */
const healTicks = 600;

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
  readonly #transfers = new Set<string>();
  readonly #members: RandomMembers;
  readonly #snapshots: RandomSnapshots;
  readonly coverage = noCoverage();
  #counter = 0;

  constructor(seed: number) {
    this.#prng = new Prng(seed);
    const prng = this.#prng;
    const often = (most: number) => (prng.chance(1, 3) ? 0 : prng.int(1, most));
    // One run in three has a cluster that stays as it was founded, with logs that everybody can be brought up to date from.
    const rare = prng.chance(1, 3) ? () => 0 : often;
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
      compact: rare(8),
      change: rare(8),
      join: rare(12),
      wipe: rare(3),
      transfer: rare(8),
      gone: rare(4),
    };
    this.#cluster = new Cluster(prng.pick([1, 2, 3, 3, 3, 5, 5]), {
      tuning: randomTuning(prng),
      chance: () => prng.fork(),
      onEvent: (line) => this.#lines.push(line),
      onMessage: (message) => this.#sent(message),
    });
    const note = (line: () => string) => void this.#lines.push(line);
    this.#members = new RandomMembers(prng, this.#cluster, this.#faults, this.coverage, note);
    this.#snapshots = new RandomSnapshots(prng, this.#cluster, this.coverage, note);
  }

  #sent(message: Message): void {
    this.#lines.push(() => describeMessage(message));
    if (message.kind === "request-vote" && message.isTransfer)
      this.#transfers.add(`${message.from} ${message.term}`);
    if (message.kind === "install-snapshot") this.coverage.offers++;
  }

  #paceOf(id: NodeId): number {
    const pace = this.#pace.get(id) ?? (this.#prng.chance(1, 2) ? 8 : this.#prng.int(1, 8));
    this.#pace.set(id, pace);
    return pace;
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
      const text = [...this.#lines.slice(-linesShown).map((line) => line()), ...states, String(error)].join(
        "\n",
      );
      throw new Error(text, { cause: error });
    }
    this.coverage.decided = this.#cluster.checker.decidedIndex;
    this.coverage.replaced = this.#cluster.checker.replacedCount;
    this.coverage.configurationsReplaced = this.#cluster.checker.replacedConfigurationCount;
    this.coverage.leaders = this.#leaders.size;
    this.coverage.transfers = this.#transfers.size;
    this.coverage.transferred = [...this.#transfers].filter((each) => this.#leaders.has(each)).length;
  }

  /** A round: time, messages, disks and clients each get a chance to go on, then something may break. */
  #round(): void {
    const prng = this.#prng;
    const cluster = this.#cluster;
    const faults = this.#faults;
    for (const { id, raft } of cluster.nodes.values()) {
      if (raft === undefined || !prng.chance(this.#paceOf(id), 8)) continue;
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
    this.#members.round();
    for (const node of cluster.nodes.values()) this.#snapshots.round(node);
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
    const isInBetween = node.isSwapped || node.write?.start !== undefined;
    if (prng.chance(faults.crash, isInBetween ? 10 : 100)) this.#crash(node);
    if (node.raft === undefined && prng.chance(1, 10)) this.#restart(node);
    if (prng.chance(faults.partition, 100)) this.#partition();
    if (prng.chance(1, 40)) cluster.heal();
    if (prng.chance(faults.dropLog, 40)) this.#dropLog(node, this.#appliedEverywhere());
    if (prng.chance(faults.compact, 100)) this.#dropLog(node, node.applied.length);
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
    if (node.isSwapped || node.write?.start !== undefined) this.coverage.crashesWhileSwapped++;
    this.#cluster.crash(node.id, this.#prng.chance(1, 2) ? "kept" : "lost");
    this.coverage.crashes++;
    this.#members.crashed(node.id);
    if (this.#prng.chance(1, 2)) this.#restart(node);
  }

  /** Its state machine may have lost a suffix of what was applied, but nothing that is not in its log. */
  #restart(node: Node): void {
    if (this.#members.isWiped(node.id)) return;
    this.#lines.push(() => `${node.id} restarts`);
    const { applied, disk, restored } = node;
    this.#cluster.restart(node.id, this.#prng.int(Math.max(restored, disk.firstIndex - 1), applied.length));
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

  /** Drops old entries up to `most`, of what this node has applied. */
  #dropLog({ applied, disk, isSwapped }: Node, most: Index): void {
    if (isSwapped) return;
    const last = Math.min(most, applied.length, disk.lastIndex);
    if (last < disk.firstIndex) return;
    disk.dropUpTo(this.#prng.int(disk.firstIndex, last));
    this.coverage.dropped++;
  }

  #appliedEverywhere(): Index {
    return Math.min(...[...this.#cluster.nodes.values()].map(({ applied }) => applied.length));
  }

  #recover(): void {
    const cluster = this.#cluster;
    this.#lines.push(() => "peace");
    cluster.heal();
    for (const node of cluster.nodes.values()) if (node.raft === undefined) this.#restart(node);
    for (let ticks = 0; ticks < healTicks; ticks++) {
      cluster.round();
      for (const node of cluster.nodes.values()) if (node.raft !== undefined) this.#snapshots.settle(node);
      const leader = this.#leader();
      if (leader === undefined || !this.#members.settle(leader.id) || ticks % 40 !== 39) continue;
      const result = cluster.propose(leader.id, "last");
      if (!result.ok) continue;
      for (let more = 0; more < 40; more++) {
        cluster.round();
        for (const node of cluster.nodes.values()) if (node.raft !== undefined) this.#snapshots.settle(node);
      }
      return this.#checkEnd(result);
    }
    throw new Error("a leader of a configuration that is not joint comes after the faults stop");
  }

  #leader(): Node | undefined {
    const leaders = [...this.#cluster.nodes.values()].filter(({ raft }) => raft?.isLeader);
    return leaders.sort((a, b) => b.raft!.term - a.raft!.term)[0];
  }

  #checkEnd(wanted: EntryId): void {
    const { checker } = this.#cluster;
    const last = checker.decided(checker.decidedIndex)!;
    assert(last.index >= wanted.index, "what was proposed in peace is decided");
    // A proposal beyond the end is decided too once a later term has gone on: nobody can bring it back.
    for (const { index, term } of this.#proposals)
      assert(index <= last.index || term < last.term, `the proposal ${index}/${term} is decided`);
    const configuration = this.#leader()!.raft!.configuration;
    for (const id of members(configuration)) {
      const { raft, applied } = this.#cluster.node(id);
      assert(raft!.getState().commit === checker.decidedIndex, `${id} knows all that is decided`);
      assert(applied.length === checker.decidedIndex, `${id} has applied all that is decided`);
      const [own, wanted] = [raft!.configuration, configuration].map(describeConfiguration);
      assert(own === wanted, `${id} goes by the final configuration ${wanted}: ${own}`);
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
