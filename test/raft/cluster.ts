import { assert } from "../../src/lib/assert.ts";
import { toUtf8 } from "../../src/lib/bytes.ts";
import { describeEntry, describeId, describeRead, describeWrite } from "../../src/raft/describe.ts";
import { Raft } from "../../src/raft/raft.ts";
import type { RaftOptions } from "../../src/raft/raft-options.ts";
import type {
  Chance,
  Configuration,
  Entry,
  HardState,
  Index,
  Message,
  NodeId,
  ReadState,
  Write,
} from "../../src/raft/types.ts";
import { ClusterChecker } from "./cluster-checker.ts";
import { configurationOf, decodeConfiguration, encodeConfiguration } from "./configuration-text.ts";
import { MemoryLog } from "./memory-log.ts";

/** One node: what is on its disk outlives a crash, `raft` and what is in flight does not. */
export interface Node {
  readonly id: NodeId;
  disk: MemoryLog;
  hardState: HardState;
  /** Undefined while the node is down. */
  raft: Raft | undefined;
  /** The write in flight. */
  write: Write | undefined;
  /** What the state machine was given, oldest first, by this node's log or by a snapshot. */
  applied: Entry[];
  /**
   * The configuration before the first entry, which every state holds. Who joins later knows of nobody until a state or the
   * log tells.
   */
  founding: Configuration;
  reads: ReadState[];
  /** Whether the core was offered a snapshot that its owner did not begin to fetch. */
  isOffered: boolean;
  /** What another node's state machine was given, fetched instead of its log, and not on the disk yet. */
  fetched: readonly Entry[] | undefined;
  /** The snapshot is on the disk as the state, and the core does not know yet. */
  isSwapped: boolean;
  /** The last entry of the snapshot that the state began with: the state goes back no further. */
  restored: Index;
}

export type Tuning = Partial<
  Pick<
    RaftOptions,
    | "heartbeatTicks"
    | "electionTicksMin"
    | "electionTicksMax"
    | "diskStallTicks"
    | "appendBytesMax"
    | "windowBytesMax"
    | "uncommittedBytesMax"
  >
>;

export interface ClusterOptions {
  readonly tuning?: Tuning;
  /** Where a node's election timeouts come from; by default n1 is the quickest, n2 the next, and so on. */
  readonly chance?: (id: NodeId) => Chance;
  /** A test speaks for nodes, so that what they say need not be true of their disks. */
  readonly isPlayed?: boolean;
  /** Messages may be refused: the test damages what a node remembers. */
  readonly mayRefuse?: boolean;
  /** Told one line for all that happens but messages. */
  readonly onEvent?: (line: () => string) => void;
  /** Told each message that leaves a node. */
  readonly onMessage?: (message: Message) => void;
}

/** What a node's disk holds when it first starts. */
export interface Beginning {
  readonly entries?: readonly Entry[];
  readonly hardState?: HardState;
}

const tuningDefault = {
  heartbeatTicks: 2,
  electionTicksMin: 10,
  electionTicksMax: 20,
  diskStallTicks: 60,
  appendBytesMax: 64,
  windowBytesMax: 256,
  uncommittedBytesMax: 1024,
};

/**
 * Nodes whose messages wait in a list until somebody delivers them, and whose writes last until somebody finishes
 * them. Everything else is as a driver does it: after each call the outboxes are emptied and the next write begins.
 * The checker looks at every step.
 */
export class Cluster {
  readonly nodes = new Map<NodeId, Node>();
  /** Sent and neither delivered nor lost, oldest first. */
  network: Message[] = [];
  readonly checker: ClusterChecker;
  readonly #options: ClusterOptions;
  /** Links that lose everything, as `from→to`. */
  readonly #cut = new Set<string>();

  constructor(
    count: number,
    options: ClusterOptions = {},
    beginnings: ReadonlyMap<NodeId, Beginning> = new Map(),
  ) {
    this.#options = options;
    this.checker = new ClusterChecker(this.nodes, options.isPlayed !== true);
    const ids = Array.from({ length: count }, (_, place) => nodeId(place + 1));
    const founding = { incoming: ids, outgoing: [], learners: [] };
    for (const id of ids) this.#create(id, founding, beginnings.get(id));
    for (const id of ids) this.restart(id);
  }

  #create(id: NodeId, founding: Configuration, beginning?: Beginning): void {
    assert(!this.nodes.has(id), `${id} is a new node`);
    const { entries = [], hardState } = beginning ?? {};
    this.nodes.set(id, {
      id,
      disk: new MemoryLog(entries),
      hardState: hardState ?? { term: entries.at(-1)?.term ?? 0, vote: undefined, commit: 0 },
      raft: undefined,
      write: undefined,
      applied: [],
      founding,
      reads: [],
      isOffered: false,
      fetched: undefined,
      isSwapped: false,
      restored: 0,
    });
  }

  /** A node starts with an empty disk, and waits for somebody to make it a member. */
  join(id: NodeId): void {
    this.#create(id, configurationOf(""));
    this.restart(id);
  }

  get ids(): NodeId[] {
    return [...this.nodes.keys()];
  }

  node(id: NodeId): Node {
    const node = this.nodes.get(id);
    assert(node !== undefined, `the cluster has a node ${id}`);
    return node;
  }

  /** The core of a node that is up. */
  raft(id: NodeId): Raft {
    const { raft } = this.node(id);
    assert(raft !== undefined, `${id} is up`);
    return raft;
  }

  /** Calls into a node's core and does what a driver does afterwards. */
  run<T>(id: NodeId, call: (raft: Raft) => T): T {
    const result = call(this.raft(id));
    this.#drain(this.node(id));
    return result;
  }

  tick(id: NodeId, count = 1): void {
    for (let i = 0; i < count; i++) this.run(id, (raft) => raft.tick());
  }

  /** Proposes text and lets the cluster take its course no further. */
  propose(id: NodeId, text: string): ReturnType<Raft["start"]> {
    const result = this.run(id, (raft) => raft.start(toUtf8(text)));
    return result;
  }

  /** Proposes a configuration, as text. */
  change(id: NodeId, text: string): ReturnType<Raft["changeConfiguration"]> {
    return this.run(id, (raft) => raft.changeConfiguration(encodeConfiguration(text)));
  }

  /** Takes a picture of a node's state for another one; returns false when it brings nothing new. */
  fetch(id: NodeId, source: NodeId): boolean {
    const node = this.node(id);
    const { applied } = this.node(source);
    if (node.isSwapped || applied.length <= node.applied.length) return false;
    node.fetched = [...applied];
    node.isOffered = false;
    return true;
  }

  /** What was fetched takes the place of the state, durably. Returns false when the state is as far by now. */
  swap(id: NodeId): boolean {
    const node = this.node(id);
    const { fetched } = node;
    node.fetched = undefined;
    if (fetched === undefined || fetched.length <= node.applied.length) return false;
    node.applied = [...fetched];
    node.founding = this.node(nodeId(1)).founding;
    node.restored = node.applied.length;
    node.isSwapped = true;
    this.#event(() => `${id} has the state up to ${describeId(node.applied.at(-1)!)} on its disk`);
    return true;
  }

  /** The core hears that the state is another. */
  restore(id: NodeId): void {
    const node = this.node(id);
    assert(node.isSwapped, "the state was swapped first");
    node.isSwapped = false;
    const { index, term } = node.applied.at(-1)!;
    this.run(id, (raft) => raft.restore({ index, term }, configurationAfter(node)));
  }

  /** Asks for a read and lets the checker remember what it must see. */
  readIndex(id: NodeId, context: number): boolean {
    this.checker.readAsked(id, context);
    return this.run(id, (raft) => raft.readIndex(context)).ok;
  }

  /** Whether a message would arrive now. */
  isConnected(message: Message): boolean {
    const receiver = this.nodes.get(message.to)?.raft;
    return !this.#cut.has(`${message.from}→${message.to}`) && receiver !== undefined;
  }

  /** Takes a message out of the network and hands it over, if the link and the receiver are up. Returns whether it did. */
  deliver(message: Message): boolean {
    const at = this.network.indexOf(message);
    if (at >= 0) this.network.splice(at, 1);
    if (!this.isConnected(message)) return false;
    const problem = this.run(message.to, (raft) => raft.step(message));
    if (problem !== undefined) this.#event(() => `${message.to} refuses it: ${problem}`);
    assert(
      problem === undefined || this.#options.mayRefuse === true,
      `members understand each other: ${problem}`,
    );
    return true;
  }

  /** The write in flight reaches the disk, and the core is told. */
  finishWrite(id: NodeId): boolean {
    const node = this.node(id);
    if (node.write === undefined) return false;
    const { id: writeId } = node.write;
    this.#storeWrite(node);
    this.#event(() => `${id} wrote ${writeId}`);
    this.run(id, (raft) => raft.wrote(writeId));
    return true;
  }

  /** The process dies. The write in flight is lost, or has reached the disk without anybody being told. */
  crash(id: NodeId, write: "lost" | "kept" = "lost"): void {
    const node = this.node(id);
    if (node.write !== undefined && write === "kept") this.#storeWrite(node);
    node.write = undefined;
    node.raft = undefined;
    node.isOffered = false;
    node.fetched = undefined;
    node.isSwapped = false;
    this.checker.crashed(id);
  }

  /**
   * Starts a node from its disk. Its state machine has kept the first `applied` entries that it was given. When it holds
   * more than the log does, it came from elsewhere and the log had no time to follow: it begins anew now.
   */
  restart(id: NodeId, applied = this.node(id).applied.length): void {
    const node = this.node(id);
    assert(node.raft === undefined, `${id} is down`);
    const { chance, tuning } = this.#options;
    const place = this.ids.indexOf(id);
    assert(applied <= node.applied.length, `${id} has applied as much`);
    node.applied.length = applied;
    node.reads = [];
    const last = node.applied.at(-1) ?? { index: 0, term: 0 };
    if (node.disk.term(last.index) !== last.term) {
      assert(applied === node.restored, "only a snapshot gets ahead of the log");
      node.disk.startAfter({ index: last.index, term: last.term });
    }
    node.raft = new Raft({
      ...tuningDefault,
      ...tuning,
      id,
      configuration: configurationAfter(node),
      decodeConfiguration,
      hardState: node.hardState,
      log: node.disk,
      applied,
      chance: chance?.(id) ?? { int: (min, max) => Math.min(max, min + 2 * place) },
      trace: (line) => this.#event(() => line),
    });
    this.#drain(node);
  }

  cut(from: NodeId, to: NodeId): void {
    this.#cut.add(`${from}→${to}`);
  }

  /** Nodes of different groups do not reach each other; who is in none is alone. */
  partition(groups: readonly (readonly NodeId[])[]): void {
    this.heal();
    for (const from of this.ids)
      for (const to of this.ids)
        if (from !== to && !groups.some((group) => group.includes(from) && group.includes(to)))
          this.cut(from, to);
  }

  heal(): void {
    this.#cut.clear();
  }

  /**
   * Delivers and finishes writes until nothing is under way. Nodes in `slow` keep their writes. Returns the number of
   * deliveries.
   */
  stabilize(slow: readonly NodeId[] = []): number {
    let steps = 0;
    for (let isBusy = true; isBusy; ) {
      isBusy = false;
      for (const message of [...this.network]) {
        assert(steps++ < 20_000, "the cluster comes to rest");
        this.deliver(message);
        isBusy = true;
      }
      for (const id of this.ids) if (!slow.includes(id) && this.finishWrite(id)) isBusy = true;
    }
    return steps;
  }

  /** Makes a node leader the regular way: it waits out its timeout, and everything is delivered. */
  elect(id: NodeId): void {
    for (let ticks = 0; this.raft(id).getState().role === "follower"; ticks++) {
      assert(ticks < 1000, "an election timeout comes");
      this.tick(id);
    }
    this.stabilize();
    assert(this.raft(id).isLeader, `${id} was elected`);
  }

  /** Everybody who is up lives through one tick, and everything is delivered and written. */
  round(): void {
    for (const node of this.nodes.values()) if (node.raft !== undefined) this.tick(node.id);
    this.stabilize();
  }

  #storeWrite(node: Node): void {
    const { write } = node;
    assert(write !== undefined, "a write is in flight");
    if (write.hardState !== undefined) node.hardState = write.hardState;
    if (write.start !== undefined) node.disk.startAfter(write.start);
    node.disk.append(write.entries);
    node.write = undefined;
    this.checker.stored(node);
  }

  #drain(node: Node): void {
    const { raft } = node;
    assert(raft !== undefined, "only a node that is up is driven");
    for (const message of raft.takeMessages()) {
      this.checker.sent(node, message);
      this.#options.onMessage?.(message);
      this.network.push(message);
    }
    this.checker.stepped(node);
    const offer = raft.takeSnapshotOffer();
    if (offer !== undefined) {
      node.isOffered = true;
      this.#event(() => `${node.id} is offered a snapshot by ${offer}`);
    }
    if (!node.isSwapped) this.#apply(node, raft);
    for (const read of raft.takeReads()) {
      node.reads.push(read);
      this.checker.readConfirmed(node.id, read);
      this.#event(() => `${node.id} may answer ${describeRead(read)}`);
    }
    if (node.write === undefined) {
      node.write = raft.takeWrite();
      const { write } = node;
      if (write !== undefined) this.#event(() => `${node.id} begins ${describeWrite(write)}`);
    }
    this.checker.stepped(node);
  }

  #apply(node: Node, raft: Raft): void {
    for (;;) {
      const entries = raft.takeCommitted(64);
      if (entries.length === 0) return;
      for (const entry of entries) {
        node.applied.push(entry);
        this.checker.applied(node, entry);
        this.#event(() => `${node.id} applies ${describeEntry(entry)}`);
      }
    }
  }

  #event(line: () => string): void {
    this.#options.onEvent?.(line);
  }
}

/** The configuration that the last applied entry leaves in force. */
function configurationAfter({ applied, founding }: Node): Configuration {
  const last = applied.findLast(({ kind }) => kind === "config");
  return last === undefined ? founding : decodeConfiguration(last.data);
}

/** The id of the node at a place, counted from 1. */
export function nodeId(place: number): NodeId {
  return `n${place}` as NodeId;
}

/** A log of commands whose terms are given, with hard state to match. */
export function logOf(...terms: number[]): Entry[] {
  return terms.map((term, at) => ({ index: at + 1, term, kind: "command", data: toUtf8(`c${at + 1}`) }));
}

/** The terms of a node's log as its core believes it, to be compared with what was given to `logOf`. */
export function termsOf(raft: Raft): number[] {
  return entriesOf(raft).map((entry) => entry.term);
}

/** A node's whole log as its core believes it: what is on disk, then what is in front of it. */
export function entriesOf(raft: Raft): Entry[] {
  const { firstIndex, last } = raft.getState();
  const entries: Entry[] = [];
  while (firstIndex + entries.length <= last.index)
    entries.push(...raft.entries(firstIndex + entries.length, 1 << 20));
  return entries;
}
