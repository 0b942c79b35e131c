import { assert } from "../../src/lib/assert.ts";
import { crc32 } from "../../src/lib/checksum.ts";
import { describeEntry, describeId, describeMessage } from "../../src/raft/describe.ts";
import { checkProgress, checkState, checkStep } from "../../src/raft/invariants.ts";
import type { Raft } from "../../src/raft/raft.ts";
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
  Write,
} from "../../src/raft/types.ts";
import { decodeMembers, type Members, noMembers, wasRemoved } from "../../src/server/members.ts";
import { dumbQuorum } from "../raft/dumb-quorum.ts";
import { Majorities } from "../raft/majorities.ts";
import { ChangeChecker } from "./change-checker.ts";
import { DurableLog } from "./durable-log.ts";

/** One life of one node's core. */
interface Life {
  readonly id: NodeId;
  before: RaftState;
  ticks: number;
  /** By peer: the tick at which it last answered this node in its term. */
  readonly heardAt: Map<NodeId, number>;
  ledFromTick: number;
  /** As a leader: what it knew each follower to have. */
  readonly matches: Map<NodeId, Index>;
  /** By the context of a read: all that was decided when it was asked for. */
  readonly reads: Map<number, Index>;
  /** In force when it was last looked at. */
  configuration: Configuration;
}

/** What a run has seen of the things that are easily missed. */
export interface RaftCoverage {
  /** Logs that began anew after a snapshot, and logs that went on after one. */
  begunAnew: number;
  wentOn: number;
  joint: number;
  learners: number;
  removed: number;
  /** Campaigns that a leader asked for, and those of them that were won. */
  asked: number;
  handedOver: number;
  leaders: number;
  /** Lives of nodes whose folder went back in time, and had lost something. */
  forgetful: number;
}

const kinds: readonly Entry["kind"][] = ["noop", "command", "config"];

/**
 * Sees the cores of all nodes at every step, and every message as it leaves. Checks the rules of one node, and the
 * properties of the paper's figure 3 that only an observer of all can check, each by a record of what must never
 * change: also across crashes, after which a node has to remember what it vouched for.
 */
export class RaftChecker {
  readonly #electionTicksMin: number;
  readonly #lives = new Map<Raft, Life>();
  readonly #disks = new Map<NodeId, DurableLog>();
  readonly #current = new Map<NodeId, Raft>();
  readonly #isUp: (raft: Raft) => boolean;
  readonly #majorities = new Majorities();
  /** All configurations that were decided, oldest first. */
  readonly #configurations: { readonly index: Index; readonly members: Members }[] = [];
  /** Nodes whose disks were lost: they are no more. */
  readonly #wiped = new Set<NodeId>();
  /** Whose folder a copy has taken the place of; and the cores that ran on such copies. */
  readonly #setBack = new Set<NodeId>();
  readonly #forgetful = new WeakSet<Raft>();
  /** Up to where a leader held itself what is decided, when it sent its last heartbeats and those before. */
  readonly #toldHeld = new Map<NodeId, { readonly last: Index; readonly before: Index }>();
  /** A leader has lost what it had counted of itself since a heartbeat ago: outside of what is promised. */
  #isUntoldLost = false;
  readonly changes = new ChangeChecker();
  readonly coverage: RaftCoverage = {
    begunAnew: 0,
    wentOn: 0,
    joint: 0,
    learners: 0,
    removed: 0,
    asked: 0,
    handedOver: 0,
    leaders: 0,
    forgetful: 0,
  };
  /** Election safety. */
  readonly #leaders = new Map<Term, NodeId>();
  /** One vote per voter and term: `voter term` to candidate. */
  readonly #votes = new Map<string, NodeId>();
  /** Who forecast a vote: `candidate term` to voters. */
  readonly #forecasts = new Map<string, Set<NodeId>>();
  /** Whom a leader has asked to campaign at once, and in which term: those ask nobody whether they may (thesis 3.10). */
  readonly #asked = new Set<string>();
  /** Log matching by induction: `index term` to a hash of the entry and the term before it. */
  readonly #entries = new Map<string, number>();
  /** The one history, from index 1 on. */
  readonly #decided: { readonly term: Term; readonly hash: number; readonly committedIn: Term }[] = [];

  /** The entry that forms the cluster. */
  readonly #firstIndex: Index;

  /** `isUp` tells whether the process of a core lives; `base` is the entry that the state of a backup stands for. */
  constructor(electionTicksMin: number, isUp: (raft: Raft) => boolean, base: EntryId | undefined) {
    this.#isUp = isUp;
    this.#firstIndex = 1 + (base?.index ?? 0);
    if (base !== undefined) this.#decided.push({ term: base.term, hash: 0, committedIn: base.term });
    this.#electionTicksMin = electionTicksMin;
  }

  /** How much is decided. */
  get decidedIndex(): Index {
    return this.#decided.length;
  }

  /** How many terms had a leader. */
  get leadersCount(): number {
    return this.#leaders.size;
  }

  /** The newest members that were decided; undefined before the first ones are. */
  get members(): Members | undefined {
    return this.#configurations.at(-1)?.members;
  }

  /** Whether it was decided that this node is no member any more. */
  isRemoved(id: NodeId): boolean {
    return this.members !== undefined && wasRemoved(this.members, id);
  }

  /** All configurations that may decide something: the decided one, and what logs hold that came after it. */
  get openConfigurations(): Configuration[] {
    const { members } = this;
    const all: Configuration[] = members === undefined ? [] : [members];
    const last = this.#lastDecided;
    for (const [id, raft] of this.#current)
      if (
        !this.#wiped.has(id) &&
        raft.configuration.incoming.length > 0 &&
        raft.getState().last.index >= last.index
      )
        all.push(raft.configuration);
    return all;
  }

  /**
   * The disk of this node is lost. What it has vouched for before still counts: who never speaks again cannot vote for
   * anybody who lacks it either, so that every later majority has somebody else who holds it.
   */
  wiped(id: NodeId): void {
    this.#wiped.add(id);
  }

  /**
   * The folder of this node is what it was before. What it has vouched for still counts, as with a disk that is lost; what it
   * says from now on must count nowhere, so that it is not even noted.
   */
  setBack(id: NodeId): void {
    this.#setBack.add(id);
  }

  get wipedIds(): ReadonlySet<NodeId> {
    return this.#wiped;
  }

  get #lastDecided(): EntryId {
    return { index: this.#decided.length, term: this.#decided.at(-1)?.term ?? 0 };
  }

  /** The core of a node's present or last life. */
  coreOf(id: NodeId): Raft | undefined {
    return this.#current.get(id);
  }

  get ids(): NodeId[] {
    return [...this.#current.keys()];
  }

  ticked(raft: Raft): void {
    if (this.#forgetful.has(raft)) return;
    const life = this.#lifeOf(raft);
    life.ticks++;
  }

  stepped(raft: Raft): void {
    if (this.#forgetful.has(raft)) {
      assert(!raft.isLeader, "a node whose folder went back in time never leads");
      return;
    }
    const life = this.#lifeOf(raft);
    const { before } = life;
    const state = raft.getState();
    checkState(state);
    checkStep(before, state);
    this.#noticeConfiguration(raft, life, state);
    const isAnotherLog = state.last.term !== before.last.term || state.firstIndex > before.last.index;
    if (isAnotherLog) this.#checkInForce(raft, state);
    if (state.role === "leader") {
      checkProgress(state, raft.progress);
      if (before.role !== "leader" || before.term !== state.term) this.#elected(raft, life, state);
      this.#checkContact(life, raft.configuration);
      if (raft.isSettled)
        assert(
          isVoterOf(raft.configuration, state.id),
          `${state.id} leads term ${state.term}, and knows that it is no voter any more`,
        );
      this.#checkMatches(raft, life);
    }
    if (state.role === "candidate" && (before.role !== "candidate" || before.term !== state.term))
      this.#checkForecast(state, raft.configuration);
    if (state.role.endsWith("candidate") && before.role !== state.role) this.#checkMayLead(raft, state);
    if (state.durable !== before.durable) this.#checkDurable(raft, state);
    if (state.commit > before.commit) this.#checkCommits(raft, state, before.commit);
    if (state.last.index !== before.last.index || state.last.term !== before.last.term)
      this.#checkMajorities();
    life.before = state;
  }

  /** A state has taken the place of what this node held: that after a decided entry, with the members as of then. */
  restored(raft: Raft, snapshot: EntryId, configuration: Configuration): void {
    if (this.#forgetful.has(raft)) return;
    const { id, before } = this.#lifeOf(raft);
    const { index, term } = snapshot;
    const what = `${id} takes over the state after entry ${describeId(snapshot)}`;
    assert(index > before.applied, `${what}, and has applied ${before.applied}`);
    assert(this.#decided[index - 1]?.term === term, `${what}, which is not decided`);
    const decided = this.#configurations.findLast((each) => each.index <= index)?.members;
    // The state of a backup has no members.
    const right = decided ?? noMembers;
    assert(
      JSON.stringify(right) === JSON.stringify(configuration),
      `${what} with the members ${JSON.stringify(configuration)}, right is ${JSON.stringify(right)}`,
    );
    const own = index > before.last.index ? undefined : raft.entries(index, 0)[0];
    const goesOn = own?.term === term;
    if (goesOn) this.coverage.wentOn++;
    else this.coverage.begunAnew++;
    this.#diskOf(id).restored(snapshot, goesOn);
  }

  heard(raft: Raft, message: Message): void {
    if (this.#forgetful.has(raft)) return;
    const life = this.#lifeOf(raft);
    const isAnswer = message.kind === "append-entries-reply" || message.kind === "heartbeat-reply";
    if (isAnswer && message.term === life.before.term) life.heardAt.set(message.from, life.ticks);
  }

  /** Messages that vouch for a node's state leave only when its disk holds that state. */
  sent(raft: Raft, messages: readonly Message[]): void {
    if (messages.some(({ kind }) => kind === "heartbeat")) {
      const { id, durable, commit } = raft.getState();
      const before = this.#toldHeld.get(id)?.last ?? 0;
      this.#toldHeld.set(id, { before, last: Math.min(durable, commit) });
    }
    if (this.#forgetful.has(raft)) return;
    const { id } = this.#lifeOf(raft);
    const disk = this.#diskOf(id);
    for (const message of messages) {
      const holds = (ok: boolean, why: string) => {
        if (!ok) assert(false, `${why}: ${describeMessage(message)}, its disk has ${disk.describe()}`);
      };
      holds(message.from === id && message.to !== id, "a node speaks for itself, to others");
      holds(!this.#wiped.has(id), "a node whose disk was lost never speaks again");
      switch (message.kind) {
        case "request-vote":
          if (!message.preVote) {
            holds(disk.hasVote(message.term, id), "a campaign's own vote is durable first");
            holds(
              !message.isTransfer || this.#asked.has(`${id} ${message.term}`),
              "only whom a leader has asked says that it wants the votes",
            );
            this.#voted(id, message.term, id, message);
          }
          break;
        case "request-vote-reply":
          if (message.granted) this.#granted(disk, message, holds);
          break;
        case "append-entries":
          this.#checkEntries(message.prev.term, message.entries);
          break;
        case "timeout-now":
          this.#checkHandOver(raft, message);
          break;
        case "append-entries-reply":
          // A refusal vouches for nothing.
          if (!message.accepted) break;
          holds(disk.term >= message.term, "the term of an acceptance is durable first");
          holds(disk.lastIndex >= message.index, "what is accepted is durable first");
          break;
        default:
      }
    }
  }

  writeBegan(raft: Raft, write: Write): void {
    if (this.#forgetful.has(raft)) return;
    this.#diskOf(this.#lifeOf(raft).id).began(write);
  }

  writeEnded(raft: Raft): void {
    if (this.#forgetful.has(raft)) return;
    this.#diskOf(this.#lifeOf(raft).id).ended();
  }

  readAsked(raft: Raft, context: number): void {
    if (this.#forgetful.has(raft)) return;
    this.#lifeOf(raft).reads.set(context, this.decidedIndex);
  }

  /** A linearizable read sees everything that anybody knew to be committed when it was asked for (thesis 6.4). */
  readsConfirmed(raft: Raft, reads: readonly ReadState[]): void {
    if (this.#forgetful.has(raft)) return;
    const life = this.#lifeOf(raft);
    for (const { context, index } of reads) {
      const wanted = life.reads.get(context);
      assert(wanted !== undefined, `${life.id} answers read ${context} once, where it was asked`);
      assert(
        index >= wanted,
        `read ${context} at ${life.id} sees entry ${index}, and ${wanted} was committed before it`,
      );
      life.reads.delete(context);
    }
  }

  /** Entries that are handed to a state machine. */
  committed(raft: Raft, entries: readonly Entry[]): void {
    if (this.#forgetful.has(raft)) return;
    const { id, before } = this.#lifeOf(raft);
    let index = before.applied;
    for (const entry of entries) {
      assert(entry.index === ++index, `${id} applies in order, each entry once: ${describeEntry(entry)}`);
      const decided = this.#decided[index - 1];
      assert(decided !== undefined, `${id} applies only what is decided: ${describeEntry(entry)}`);
      if (decided.term !== entry.term || decided.hash !== hashOf(entry))
        assert(false, `${id} applies ${describeEntry(entry)}, decided in term ${decided.term} was another`);
    }
    this.stepped(raft);
  }

  /** The node's next process says anew what it has. */
  forgot(raft: Raft, id: NodeId): void {
    if (this.#forgetful.has(raft)) return;
    this.#lifeOf(raft).matches.delete(id);
  }

  /** A new life of a node begins, and its former one is over. */
  born(raft: Raft): void {
    const state = raft.getState();
    const { id } = state;
    assert(state.role === "follower", "a node starts as a follower");
    const former = this.#current.get(id);
    const wasLeader = former !== undefined && this.#lives.get(former)?.before.role === "leader";
    if (former !== undefined) this.#lives.delete(former);
    // The copy may be as good as what it took the place of.
    if (this.#setBack.has(id) && !this.#diskOf(id).isKept(raft, state)) {
      this.coverage.forgetful++;
      const isTermKept = state.term >= this.#diskOf(id).term;
      if (wasLeader && isTermKept && state.last.index >= (this.#toldHeld.get(id)?.before ?? 0))
        this.#isUntoldLost = true;
      this.#current.delete(id);
      this.#forgetful.add(raft);
      return;
    }
    // The commit that its disk remembers is checked like one that it learns.
    const before = { ...state, commit: state.applied };
    assert(!this.#wiped.has(id), `${id} has lost its disk, and never comes back as itself`);
    const heardAt = new Map<NodeId, number>();
    this.#lives.set(raft, {
      id,
      before,
      ticks: 0,
      heardAt,
      ledFromTick: 0,
      matches: new Map(),
      reads: new Map(),
      configuration: raft.configuration,
    });
    this.#current.set(id, raft);
    this.#diskOf(id).recovered(raft, state);
    this.#checkMajorities();
  }

  #lifeOf(raft: Raft): Life {
    const life = this.#lives.get(raft);
    assert(life !== undefined, "a core is seen before it is called");
    return life;
  }

  #diskOf(id: NodeId): DurableLog {
    let disk = this.#disks.get(id);
    if (disk === undefined) {
      disk = new DurableLog(id);
      this.#disks.set(id, disk);
    }
    return disk;
  }

  #granted(
    disk: DurableLog,
    message: Extract<Message, { kind: "request-vote-reply" }>,
    holds: (ok: boolean, why: string) => void,
  ): void {
    const { from, to, term } = message;
    if (message.preVote) {
      const key = `${to} ${term}`;
      const voters = this.#forecasts.get(key);
      if (voters === undefined) this.#forecasts.set(key, new Set([from]));
      else voters.add(from);
      return;
    }
    holds(disk.hasVote(term, to), "a vote is durable first");
    this.#voted(from, term, to, message);
  }

  #voted(voter: NodeId, term: Term, candidate: NodeId, message: Message): void {
    const key = `${voter} ${term}`;
    const other = this.#votes.get(key);
    if (other !== undefined && other !== candidate)
      assert(
        false,
        `one vote per term, also across restarts; it went to ${other}: ${describeMessage(message)}`,
      );
    this.#votes.set(key, candidate);
  }

  #elected(raft: Raft, life: Life, state: RaftState): void {
    const { id, term } = state;
    const other = this.#leaders.get(term);
    assert(other === undefined || other === id, `one leader per term: ${id} and ${other} in ${term}`);
    this.#leaders.set(term, id);
    const votes = new Set<NodeId>();
    for (const voter of this.#disks.keys()) if (this.#votes.get(`${voter} ${term}`) === id) votes.add(voter);
    // Its own vote counts when it is durable, and nobody else need have heard of it.
    if (!this.#votes.has(`${id} ${term}`) && this.#diskOf(id).hasVote(term, id)) votes.add(id);
    assert(dumbQuorum(raft.configuration, votes), `${id} leads term ${term} with ${votes.size} votes`);
    this.coverage.leaders++;
    if (this.#asked.has(`${id} ${term}`)) this.coverage.handedOver++;
    life.ledFromTick = life.ticks;
    life.heardAt.clear();
    life.matches.clear();
    // Leader completeness; by log matching the last decided entry stands for all before it. A node that slept may still win a
    // term that is over, without what was committed in later ones.
    let index = this.#decided.length;
    while (index > 0 && this.#decided[index - 1]!.committedIn > term) index--;
    if (index === 0 || index < state.firstIndex) return;
    const last = raft.entries(index, 0)[0];
    const has = last !== undefined && last.term === this.#decided[index - 1]!.term;
    assert(
      has,
      `${id} leads term ${term} without entry ${index}, which is decided; its log ends at ${describeId(state.last)}`,
    );
  }

  /** CheckQuorum: a leader that no quorum has answered for two election timeouts has stepped down (thesis 6.2). */
  #checkContact(life: Life, configuration: Configuration): void {
    const since = life.ticks - 2 * this.#electionTicksMin - 1;
    if (life.ledFromTick > since) return;
    const heard = new Set([life.id]);
    for (const [id, tick] of life.heardAt) if (tick >= since) heard.add(id);
    assert(
      dumbQuorum(configuration, heard),
      `${life.id} leads term ${life.before.term} though no quorum has answered for two election timeouts`,
    );
  }

  /** A node does not take for durable what its disk has not been given. */
  #checkDurable(raft: Raft, state: RaftState): void {
    const { durable, firstIndex, id } = state;
    if (durable < firstIndex) return;
    const entry = raft.entries(durable, 0)[0]!;
    const disk = this.#diskOf(id);
    if (!disk.has(entry))
      assert(false, `${id} takes ${describeId(entry)} for durable, its disk has ${disk.describe()}`);
  }

  #checkMatches(raft: Raft, life: Life): void {
    for (const peer of life.matches.keys()) if (!raft.progress.has(peer)) life.matches.delete(peer);
    for (const [peer, { match }] of raft.progress) {
      const before = life.matches.get(peer) ?? 0;
      assert(match >= before, `${life.id} knew that ${peer} has entry ${before}, and now only ${match}`);
      if (match > before) life.matches.set(peer, match);
    }
  }

  /** PreVote: nobody raises its term without the forecast of a quorum (thesis 9.6), unless the leader itself wants it. */
  #checkForecast(state: RaftState, configuration: Configuration): void {
    if (this.#asked.has(`${state.id} ${state.term}`)) return;
    const voters = new Set([state.id, ...(this.#forecasts.get(`${state.id} ${state.term}`) ?? [])]);
    assert(
      dumbQuorum(configuration, voters),
      `${state.id} campaigns in term ${state.term} with ${voters.size} forecasts of a vote`,
    );
  }

  /** Only who votes by a configuration that may be in force campaigns: no learner, and nobody who knows to be out. */
  #checkMayLead(raft: Raft, { id, commit, last }: RaftState): void {
    const decided = this.#configurations.findLast(({ index }) => index <= commit)?.members;
    if (decided !== undefined && isVoterOf(decided, id)) return;
    for (let index = commit + 1; index <= last.index; )
      for (const { kind, data } of raft.entries(index, 1 << 20)) {
        if (kind === "config" && isVoterOf(decodeMembers(data), id)) return;
        index++;
      }
    assert(false, `${id} campaigns and votes by no configuration that may be in force`);
  }

  /** A leader hands over to who has its whole log, durably (thesis 3.10); one that is out asks whoever has most of it. */
  #checkHandOver(raft: Raft, message: Message): void {
    this.#asked.add(`${message.to} ${message.term + 1}`);
    this.coverage.asked++;
    const { role, last } = raft.getState();
    if (role !== "leader") return;
    const disk = this.#diskOf(message.to);
    if (!disk.has(last))
      assert(false, `${describeMessage(message)} before it has the log: ${disk.describe()}`);
  }

  /** In force is the last configuration in the log, whether it is decided or not (paper 6), or else the one before it. */
  #checkInForce(raft: Raft, { id, firstIndex, last }: RaftState): void {
    let right: Configuration | undefined;
    for (let index = firstIndex; index <= last.index; )
      for (const { kind, data } of raft.entries(index, 1 << 20)) {
        if (kind === "config") right = decodeMembers(data);
        index++;
      }
    right ??= this.#configurations.findLast(({ index }) => index < firstIndex)?.members;
    const found = membersOf(raft.configuration).join(" ");
    const wanted = right === undefined ? "" : membersOf(right).join(" ");
    assert(found === wanted, `${id} goes by the last configuration in its log: ${found}, right is ${wanted}`);
  }

  #noticeConfiguration(raft: Raft, life: Life, state: RaftState): void {
    const { configuration } = raft;
    if (configuration === life.configuration) return;
    // A leader hopes the best of who is new.
    const known = new Set(membersOf(life.configuration));
    if (state.role === "leader")
      for (const id of membersOf(configuration)) if (!known.has(id)) life.heardAt.set(id, life.ticks);
    if (state.role === "leader") this.#checkNewVoters(life.configuration, configuration);
    life.configuration = configuration;
    this.#checkMajorities();
  }

  /** Nobody is made a voter that has nothing yet: each commit would have to wait for it. */
  #checkNewVoters(before: Configuration, after: Configuration): void {
    for (const id of after.incoming) {
      if (isVoterOf(before, id)) continue;
      const last = this.#current.get(id)?.getState().last.index ?? 0;
      assert(last > 0, `${id} is made a voter, and has no state`);
    }
  }

  #checkMajorities(): void {
    const { members } = this;
    if (members === undefined) return;
    const cores: Raft[] = [];
    for (const raft of this.#current.values()) if (this.#isUp(raft)) cores.push(raft);
    this.#majorities.check(cores, members, this.#lastDecided);
  }

  #checkEntries(termBefore: Term, entries: readonly Entry[]): void {
    let before = termBefore;
    let index = entries[0]?.index ?? 0;
    for (const entry of entries) {
      assert(entry.index === index++, "the entries of a message are contiguous");
      const key = `${entry.index} ${entry.term}`;
      const hash = crc32(entry.data, before * 4 + kinds.indexOf(entry.kind));
      const known = this.#entries.get(key);
      assert(
        known === undefined || known === hash,
        `logs that have ${describeEntry(entry)} are equal up to it`,
      );
      if (known === undefined) this.#entries.set(key, hash);
      before = entry.term;
    }
  }

  #checkCommits(raft: Raft, state: RaftState, commitBefore: Index): void {
    let index = Math.max(commitBefore + 1, state.firstIndex);
    while (index <= state.commit) {
      for (const entry of raft.entries(index, 1 << 20)) {
        if (entry.index > state.commit) break;
        this.#checkCommit(raft, state, entry);
        index++;
      }
    }
    if (state.role !== "leader") return;
    const { term } = this.#decided[state.commit - 1]!;
    assert(
      term === state.term,
      `a leader of term ${state.term} commits by counting only its own entries (5.4.2)`,
    );
  }

  #checkCommit(raft: Raft, state: RaftState, entry: Entry): void {
    const decided = this.#decided[entry.index - 1];
    if (decided !== undefined) {
      if (decided.term !== entry.term || decided.hash !== hashOf(entry))
        assert(
          false,
          `${state.id} commits ${describeEntry(entry)}, decided in term ${decided.term} was another`,
        );
      return;
    }
    assert(this.#decided.length === entry.index - 1, "entries are decided in order");
    this.#decided.push({ term: entry.term, hash: hashOf(entry), committedIn: state.term });
    if (entry.kind === "config") this.#decideMembers(entry);
    // The first entry is put into every log when the cluster is formed, and needs no leader.
    if (entry.index === this.#firstIndex || this.#isUntoldLost) return;
    const held = new Set<NodeId>();
    for (const [id, disk] of this.#disks) if (disk.has(entry)) held.add(id);
    assert(
      dumbQuorum(raft.configuration, held),
      `${describeEntry(entry)} is committed by ${state.id} and durable on ${held.size} of ${membersOf(raft.configuration).length} nodes`,
    );
  }

  #decideMembers({ index, data }: Entry): void {
    const before = this.members;
    const members = decodeMembers(data);
    this.#configurations.push({ index, members });
    this.changes.decided(members);
    if (before === undefined) return;
    if (members.outgoing.length > 0) this.coverage.joint++;
    if (members.learners.length > before.learners.length) this.coverage.learners++;
    this.coverage.removed += members.removed.length - before.removed.length;
  }
}

function membersOf({ incoming, outgoing, learners }: Configuration): NodeId[] {
  return [...new Set([...incoming, ...outgoing, ...learners])];
}

function isVoterOf({ incoming, outgoing }: Configuration, id: NodeId): boolean {
  return incoming.includes(id) || outgoing.includes(id);
}

function hashOf(entry: Entry): number {
  return crc32(entry.data, entry.term * 4 + kinds.indexOf(entry.kind));
}
