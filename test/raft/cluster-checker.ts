import { assert } from "../../src/lib/assert.ts";
import { toHex } from "../../src/lib/bytes.ts";
import { describeEntry, describeMessage } from "../../src/raft/describe.ts";
import { checkProgress, checkState, checkStep } from "../../src/raft/invariants.ts";
import type { RaftState } from "../../src/raft/raft-options.ts";
import type {
  Configuration,
  Entry,
  EntryId,
  Index,
  Message,
  NodeId,
  ReadState,
  Term,
} from "../../src/raft/types.ts";
import type { Node } from "./cluster.ts";
import { decodeConfiguration, describeConfiguration } from "./configuration-text.ts";
import { dumbQuorum } from "./dumb-quorum.ts";
import { MajorityChecker } from "./majority-checker.ts";

/** An entry that is committed, and the term of the leader that was the first to say so. */
interface Decided {
  readonly entry: Entry;
  readonly committedIn: Term;
}

/**
 * Sees every node at every step, and every message as it leaves. Checks the rules of one node, and the properties of
 * the paper's figure 3 that only an observer of all can check, each by a record of what must never change.
 */
export class ClusterChecker {
  readonly #nodes: ReadonlyMap<NodeId, Node>;
  readonly #before = new Map<NodeId, RaftState>();
  /** Election safety. */
  readonly #leaders = new Map<Term, NodeId>();
  /** One vote per voter and term, across restarts: `voter term` to candidate. */
  readonly #votes = new Map<string, NodeId>();
  /** Log matching by induction: an entry's index and term decide its content and the entry before it. */
  readonly #entries = new Map<string, string>();
  /** What each log looked like at the last look, so that only news is checked. */
  readonly #seen = new Map<NodeId, Term[]>();
  /** State machine safety: the one history, from index 1 on. */
  readonly #decided: Decided[] = [];
  readonly #reads = new Map<string, Index>();
  /** What was in force at the last look, and where the log ended. */
  readonly #configured = new Map<NodeId, EntryId & { readonly configuration: Configuration }>();
  readonly #majorities: MajorityChecker;
  /** How often an entry gave way to that of a later leader. */
  replacedCount = 0;
  /** How often that entry held a configuration. */
  replacedConfigurationCount = 0;

  readonly #isQuorumChecked: boolean;

  constructor(nodes: ReadonlyMap<NodeId, Node>, isQuorumChecked: boolean) {
    this.#nodes = nodes;
    this.#isQuorumChecked = isQuorumChecked;
    this.#majorities = new MajorityChecker(nodes);
  }

  /** The newest decided configuration, once one was changed. */
  get decidedConfiguration(): Configuration | undefined {
    return this.#majorities.decided;
  }

  /** How much is decided. */
  get decidedIndex(): Index {
    return this.#decided.length;
  }

  decided(index: Index): Entry | undefined {
    return this.#decided[index - 1]?.entry;
  }

  stepped(node: Node): void {
    const { raft } = node;
    assert(raft !== undefined, "only a node that is up steps");
    const state = raft.getState();
    const before = this.#before.get(node.id);
    checkState(state);
    checkProgress(state, raft.progress);
    if (before !== undefined) checkStep(before, state);
    this.#before.set(node.id, state);
    this.#checkLog(node, state);
    this.#checkConfiguration(node, state);
    this.#checkCommits(node, state, before);
    if (state.role === "leader" && (before?.role !== "leader" || before.term !== state.term))
      this.#checkLeader(node, state);
    // Played nodes claim what is not true of their disks, so that what they make a leader decide proves nothing.
    if (this.#isQuorumChecked) this.#majorities.check(this.decided(this.decidedIndex));
  }

  /** What has reached the disk counts for the rules that speak of disks. */
  stored(node: Node): void {
    const kept = Math.max(node.disk.lastIndex, node.restored);
    assert(kept >= this.#before.get(node.id)!.applied, "the disk keeps what was applied");
  }

  crashed(id: NodeId): void {
    this.#before.delete(id);
    this.#seen.delete(id);
    this.#configured.delete(id);
    for (const key of this.#reads.keys()) if (key.startsWith(`${id} `)) this.#reads.delete(key);
  }

  /** Messages that vouch for a node's state leave only when its disk holds that state. */
  sent(node: Node, message: Message): void {
    const { term, vote } = node.hardState;
    const holds = (ok: boolean, why: string) => assert(ok, `${why}: ${describeMessage(message)}`);
    holds(message.from === node.id, "a node speaks for itself");
    holds(message.to !== node.id, "a node sends nothing to itself");
    if (message.kind === "request-vote" && !message.preVote)
      holds(
        term > message.term || (term === message.term && vote === node.id),
        "a campaign is durable first",
      );
    if (message.kind === "request-vote-reply" && !message.preVote && message.granted) {
      holds(term > message.term || (term === message.term && vote === message.to), "a vote is durable first");
      const key = `${node.id} ${message.term}`;
      holds((this.#votes.get(key) ?? message.to) === message.to, "one vote per term, also across restarts");
      this.#votes.set(key, message.to);
    }
    if (message.kind === "append-entries-reply" && message.accepted)
      this.#checkAcceptance(node, message.index, message);
    if (message.kind === "append-entries") this.#checkAppendEntries(message.entries, message.prev.index);
  }

  applied(node: Node, entry: Entry): void {
    const decided = this.decided(entry.index);
    assert(decided !== undefined, `${node.id} applies only what is decided: ${describeEntry(entry)}`);
    assert(node.applied.length === entry.index, `${node.id} applies in order: ${describeEntry(entry)}`);
    assert(isSame(decided, entry), `${node.id} applies the decided entry: ${describeEntry(entry)}`);
  }

  readAsked(id: NodeId, context: number): void {
    const key = `${id} ${context}`;
    assert(!this.#reads.has(key), "the contexts of a test's reads differ");
    this.#reads.set(key, this.decidedIndex);
  }

  /** A linearizable read sees everything that anybody knew to be committed when it was asked for. */
  readConfirmed(id: NodeId, read: ReadState): void {
    const wanted = this.#reads.get(`${id} ${read.context}`);
    assert(wanted !== undefined, `a read is answered where it was asked, once: ${id} read ${read.context}`);
    assert(
      read.index >= wanted,
      `read ${read.context} at ${id} sees ${read.index} but ${wanted} was committed`,
    );
    this.#reads.delete(`${id} ${read.context}`);
  }

  #checkAcceptance(node: Node, index: Index, message: Message): void {
    const { raft, disk, hardState } = node;
    assert(hardState.term >= message.term, `an acceptance's term is durable: ${describeMessage(message)}`);
    assert(disk.lastIndex >= index, `what is accepted is on the disk: ${describeMessage(message)}`);
    const last = raft!.entries(Math.max(index, disk.firstIndex), 1)[0];
    if (last !== undefined && index >= disk.firstIndex)
      assert(disk.term(index) === last.term, `the disk holds what was accepted: ${describeMessage(message)}`);
  }

  #checkAppendEntries(entries: readonly Entry[], prev: Index): void {
    entries.forEach((entry, at) => {
      assert(entry.index === prev + 1 + at, "the entries of a message are contiguous");
    });
  }

  /** Looks at what is new in a log, from its end back to where it is as it was. */
  #checkLog(node: Node, state: RaftState): void {
    const raft = node.raft!;
    const seen = this.#seen.get(node.id) ?? [];
    this.#seen.set(node.id, seen);
    seen.length = Math.min(seen.length, state.last.index + 1);
    for (let index = state.last.index; index >= state.firstIndex; index--) {
      const entry = raft.entries(index, 0)[0]!;
      assert(entry.index === index, "an entry stands at its index");
      if (seen[index] === entry.term) break;
      if (seen[index] !== undefined) this.#countReplaced(index, seen[index]!);
      seen[index] = entry.term;
      const before =
        index > state.firstIndex ? raft.entries(index - 1, 0)[0]!.term : this.#termBefore(node, index);
      const content = `${before} ${entry.kind} ${toHex(entry.data)}`;
      const key = `${index} ${entry.term}`;
      assert(
        (this.#entries.get(key) ?? content) === content,
        `logs that agree at ${index}/${entry.term} agree before`,
      );
      this.#entries.set(key, content);
    }
    for (let index = Math.max(state.firstIndex, state.commit + 1); index <= state.durable; index++)
      assert(
        node.disk.term(index) === seen[index],
        `${node.id} has on disk what it believes durable: ${index}`,
      );
  }

  /** What stands before a log's start is decided; the disk may not know yet that it is the start. */
  #termBefore(node: Node, index: Index): Term | undefined {
    return this.decided(index - 1)?.term ?? node.disk.term(index - 1);
  }

  #countReplaced(index: Index, term: Term): void {
    this.replacedCount++;
    if (this.#entries.get(`${index} ${term}`)?.split(" ")[1] === "config") this.replacedConfigurationCount++;
  }

  /** In force is the last configuration in the log, whether it is decided or not (paper 6). */
  #checkConfiguration(node: Node, state: RaftState): void {
    // The core has yet to hear of the state that is on the disk.
    if (node.isSwapped) return;
    const raft = node.raft!;
    const known = this.#configured.get(node.id);
    const { index, term } = state.last;
    if (known?.configuration === raft.configuration && known.index === index && known.term === term) return;
    this.#configured.set(node.id, { configuration: raft.configuration, index, term });
    let wanted: Configuration | undefined;
    for (let at = index; at >= state.firstIndex && wanted === undefined; at--) {
      const entry = raft.entries(at, 0)[0]!;
      if (entry.kind === "config") wanted = decodeConfiguration(entry.data);
    }
    for (let at = state.firstIndex - 1; at > 0 && wanted === undefined; at--) {
      const entry = this.decided(at);
      if (entry?.kind === "config") wanted = decodeConfiguration(entry.data);
    }
    const [now, then] = [raft.configuration, wanted ?? node.founding].map(describeConfiguration);
    assert(now === then, `${node.id} goes by the last configuration in its log: ${now}, not ${then}`);
  }

  #checkCommits(node: Node, state: RaftState, before: RaftState | undefined): void {
    const raft = node.raft!;
    const commitBefore = before?.commit ?? 0;
    for (let index = Math.max(commitBefore + 1, state.firstIndex); index <= state.commit; index++) {
      const entry = raft.entries(index, 0)[0]!;
      const decided = this.#decided[index - 1];
      if (decided === undefined) {
        assert(this.#decided.length === index - 1, "entries are decided in order");
        this.#decided.push({ entry, committedIn: state.term });
        this.#majorities.decide(entry);
      } else
        assert(
          isSame(decided.entry, entry),
          `${node.id} commits ${describeEntry(entry)}, decided was another`,
        );
    }
    // Who decides that it is no member any more leads no longer when it is looked at.
    const hasLed = state.role === "leader" || (before?.role === "leader" && before.term === state.term);
    const isRestored = before !== undefined && before.applied < node.restored && !node.isSwapped;
    if (hasLed && !isRestored && state.commit > commitBefore && state.commit >= state.firstIndex)
      this.#checkQuorum(state, raft.configuration);
  }

  /** What a leader calls committed is on the disks of a quorum, and is of its own term (paper 5.4.2). */
  #checkQuorum(state: RaftState, configuration: Configuration): void {
    const { term } = this.decided(state.commit)!;
    assert(term === state.term, `${state.id} commits ${state.commit}/${term} of an old term by counting`);
    if (!this.#isQuorumChecked) return;
    const holders = [...this.#nodes.values()].filter(({ disk }) => disk.term(state.commit) === term);
    assert(
      dumbQuorum(configuration, new Set(holders.map(({ id }) => id))),
      `${state.commit}/${term} is committed but not on a quorum's disks: ${describeConfiguration(configuration)}`,
    );
  }

  /** Election safety, and leader completeness: it has all that was committed in earlier terms. */
  #checkLeader(node: Node, state: RaftState): void {
    const other = this.#leaders.get(state.term);
    assert((other ?? node.id) === node.id, `${other} and ${node.id} both lead term ${state.term}`);
    this.#leaders.set(state.term, node.id);
    this.#checkVotes(node, state);
    for (let index = this.#decided.length; index >= state.firstIndex; index--) {
      const { entry, committedIn } = this.#decided[index - 1]!;
      if (committedIn >= state.term) continue;
      const own = raftEntry(node, index, state);
      assert(
        own !== undefined && isSame(own, entry),
        `${node.id} leads term ${state.term} without ${describeEntry(entry)}`,
      );
    }
  }

  /** A leader has the votes of a quorum of the configuration that is in force in its log. */
  #checkVotes({ id, hardState, raft }: Node, { term }: RaftState): void {
    assert(hardState.term === term && hardState.vote === id, "a leader's own vote is durable");
    if (!this.#isQuorumChecked) return;
    const granted = [...this.#nodes.keys()].filter((voter) => this.#votes.get(`${voter} ${term}`) === id);
    assert(
      dumbQuorum(raft!.configuration, new Set([id, ...granted])),
      `${id} leads term ${term} with the votes of ${granted} only`,
    );
  }
}

function raftEntry(node: Node, index: Index, state: RaftState): Entry | undefined {
  return index > state.last.index ? undefined : node.raft!.entries(index, 0)[0];
}

function isSame(a: Entry, b: Entry): boolean {
  return (
    a.index === b.index && a.term === b.term && a.kind === b.kind && Buffer.compare(a.data, b.data) === 0
  );
}
