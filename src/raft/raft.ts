import { assert, unreachable } from "../lib/assert.ts";
import { type Bytes, emptyBytes } from "../lib/bytes.ts";
import { KvraftError } from "../lib/error.ts";
import { Ballot } from "./ballot.ts";
import { Leader } from "./leader.ts";
import { Outbox } from "./outbox.ts";
import type { Progress } from "./progress.ts";
import { isVoter, voters } from "./quorum.ts";
import { RaftLog } from "./raft-log.ts";
import type {
  AppendEntries,
  Chance,
  Configuration,
  Entry,
  EntryId,
  EntryKind,
  HardState,
  Heartbeat,
  Index,
  LogView,
  Message,
  NodeId,
  ReadState,
  RequestVote,
  RequestVoteReply,
  Role,
  Term,
  Write,
} from "./types.ts";

/** Relations: heartbeatTicks < electionTicksMin <= electionTicksMax. */
export interface RaftOptions {
  readonly id: NodeId;
  readonly configuration: Configuration;
  /** As the disk has it. */
  readonly hardState: HardState;
  readonly log: LogView;
  /** What the state machine already contains. */
  readonly applied: Index;
  readonly chance: Chance;
  readonly heartbeatTicks: number;
  readonly electionTicksMin: number;
  readonly electionTicksMax: number;
  /** A leader whose write takes longer gives up its office. */
  readonly diskStallTicks: number;
  readonly appendBytesMax: number;
  readonly windowBytesMax: number;
  /** Proposals are refused as busy while more bytes than this wait to be committed. */
  readonly uncommittedBytesMax: number;
  /** Told one line at each change of role. */
  readonly trace?: (line: string) => void;
}

export type StartResult =
  | { readonly ok: true; readonly index: Index; readonly term: Term }
  | { readonly ok: false; readonly reason: "not-leader" | "busy"; readonly leader: NodeId | undefined };

/** A picture of the node for people, tests and invariants. */
export interface RaftState {
  readonly id: NodeId;
  readonly role: Role;
  readonly term: Term;
  readonly vote: NodeId | undefined;
  readonly leader: NodeId | undefined;
  readonly commit: Index;
  readonly applied: Index;
  readonly durable: Index;
  readonly firstIndex: Index;
  readonly last: EntryId;
}

/**
 * The consensus core (Ongaro, Ousterhout: In Search of an Understandable Consensus Algorithm; Ongaro's thesis for
 * PreVote, CheckQuorum and ReadIndex). It has no clock, disk, socket or chance of its own: the same calls give the
 * same answers. What it wants done waits in outboxes: messages that may leave now (`takeMessages`), what must reach
 * the disk (`takeWrite`, answered by `wrote`), what is decided (`takeCommitted`), reads that are safe (`takeReads`).
 */
export class Raft {
  readonly #options: RaftOptions;
  readonly #log: RaftLog;
  readonly #outbox = new Outbox();
  #configuration: Configuration;
  #term: Term;
  #vote: NodeId | undefined;
  #role: Role = "follower";
  /** Whom this node believes to lead its term. */
  #leader: NodeId | undefined;
  /** Defined exactly while the role is leader. */
  #office: Leader | undefined;
  /** Defined exactly while the role is pre-candidate or candidate. */
  #ballot: Ballot | undefined;
  #electionElapsed = 0;
  #electionTimeout = 0;
  #heartbeatElapsed = 0;
  #uncommittedBytes = 0;
  #hardStateChanged = false;
  #write: Write | undefined;
  #writeTicks = 0;
  #writeCount = 0;

  constructor(options: RaftOptions) {
    assert(options.heartbeatTicks > 0, "heartbeats take at least a tick");
    assert(options.heartbeatTicks < options.electionTicksMin, "heartbeats come before an election times out");
    assert(options.electionTicksMin <= options.electionTicksMax, "the election timeout is a range");
    this.#options = options;
    this.#configuration = options.configuration;
    this.#term = options.hardState.term;
    this.#vote = options.hardState.vote;
    this.#log = new RaftLog(options.log, options.hardState.commit, options.applied);
    assert(this.#log.last.term <= this.#term, "the log holds no entry of a later term");
    this.#resetElectionTimer();
  }

  // ---- what goes in ----

  /** One unit of logical time. A late tick counts once. */
  tick(): void {
    if (this.#write !== undefined) this.#writeTicks++;
    this.#electionElapsed++;
    if (this.#office !== undefined) this.#tickLeader(this.#office);
    else if (this.#electionElapsed >= this.#electionTimeout) this.#preCampaign();
  }

  /** The process stood still for about so many ticks: a leader that overslept an election timeout steps down. */
  overslept(ticks: number): void {
    if (this.#role === "leader" && ticks >= this.#options.electionTicksMin)
      this.#becomeFollower(this.#term, undefined, `stood still for ${ticks} ticks`);
  }

  /** Input from a peer. Messages for others, from strangers, from itself or out of time are ignored. */
  step(message: Message): void {
    const { id } = this.#options;
    if (message.to !== id || message.from === id || !isVoter(this.#configuration, message.from)) return;
    if (message.term > this.#term && !this.#adoptTerm(message)) return;
    if (message.term < this.#term) {
      this.#answerLowerTerm(message);
      return;
    }
    this.#dispatch(message);
  }

  /** Proposes a command. It is decided when an entry with this index and term comes out of takeCommitted. */
  start(command: Bytes): StartResult {
    if (this.#role !== "leader") return { ok: false, reason: "not-leader", leader: this.#leader };
    if (this.#uncommittedBytes > this.#options.uncommittedBytesMax)
      return { ok: false, reason: "busy", leader: this.#leader };
    const entry = this.#append("command", command);
    return { ok: true, index: entry.index, term: entry.term };
  }

  /** Asks for a linearizable read; `context` comes back in takeReads. Refused before an own-term commit. */
  readIndex(context: number): { readonly ok: boolean } {
    if (this.#office === undefined || !this.#office.hasCommittedInTerm) return { ok: false };
    this.#office.readIndex(context);
    return { ok: true };
  }

  /** Messages to this peer are being lost. */
  reportUnreachable(id: NodeId): void {
    this.#office?.reportUnreachable(id);
  }

  // ---- what comes out ----

  /** May leave now, even while a write is in flight: a slow disk must not silence a leader. */
  takeMessages(): readonly Message[] {
    this.#office?.flush();
    return this.#outbox.takeReady();
  }

  /** The next write, when there is something to persist and none is in flight. */
  takeWrite(): Write | undefined {
    if (this.#write !== undefined) return undefined;
    if (!this.#hardStateChanged && !this.#log.hasUnwritten) return undefined;
    const hardState = { term: this.#term, vote: this.#vote, commit: this.#log.commit };
    this.#write = { id: ++this.#writeCount, hardState, entries: this.#log.takeUnwritten() };
    this.#writeTicks = 0;
    this.#hardStateChanged = false;
    return this.#write;
  }

  /** The write is durable: what waited for it may leave, but what an older term had to say stays unsaid. */
  wrote(id: number): void {
    const write = this.#write;
    assert(write !== undefined && write.id === id, "a write is finished once, after it was taken");
    this.#write = undefined;
    this.#log.wrote(write.entries);
    for (const message of this.#outbox.release(id)) {
      if (message.term !== this.#term) continue;
      // One leader a term, and it only appends: what was accepted in this term has not been replaced.
      if (message.kind === "append-entries-reply")
        assert(message.index <= this.#log.durable, "what was accepted is durable when its write is done");
      if (message.to === this.#options.id) this.#dispatch(message);
      else this.#outbox.send(message);
    }
    this.#office?.maybeCommit();
  }

  /** Committed and durable here, in log order, each entry once; as many as fit in `bytesMax`, at least one. */
  takeCommitted(bytesMax: number): readonly Entry[] {
    const entries = this.#log.takeCommitted(bytesMax);
    // Entries of older terms were never counted.
    if (this.#office !== undefined)
      for (const entry of entries) if (entry.term === this.#term) this.#uncommittedBytes -= entry.data.length;
    return entries;
  }

  takeReads(): readonly ReadState[] {
    return this.#office?.takeReads() ?? [];
  }

  getState(): RaftState {
    return {
      id: this.#options.id,
      role: this.#role,
      term: this.#term,
      vote: this.#vote,
      leader: this.#leader,
      commit: this.#log.commit,
      applied: this.#log.applied,
      durable: this.#log.durable,
      firstIndex: this.#log.firstIndex,
      last: this.#log.last,
    };
  }

  get term(): Term {
    return this.#term;
  }

  get isLeader(): boolean {
    return this.#role === "leader";
  }

  get leader(): NodeId | undefined {
    return this.#leader;
  }

  get commit(): Index {
    return this.#log.commit;
  }

  /** The followers as the leader knows them; empty elsewhere. */
  get progress(): ReadonlyMap<NodeId, Readonly<Progress>> {
    return this.#office?.progress ?? new Map();
  }

  /** Reads the log as this node believes it, for tests and status. */
  entries(from: Index, bytesMax: number): Entry[] {
    return this.#log.slice(from, this.#log.lastIndex + 1, bytesMax);
  }

  // ---- time ----

  #tickLeader(office: Leader): void {
    const { electionTicksMin, heartbeatTicks } = this.#options;
    if (this.#electionElapsed >= electionTicksMin) {
      this.#electionElapsed = 0;
      if (!office.checkQuorum()) {
        this.#becomeFollower(this.#term, undefined, "heard from no quorum");
        return;
      }
    }
    if (this.#isDiskStalled()) {
      this.#becomeFollower(this.#term, undefined, `its write takes more than ${this.#writeTicks} ticks`);
      return;
    }
    office.tick();
    if (++this.#heartbeatElapsed < heartbeatTicks) return;
    this.#heartbeatElapsed = 0;
    office.broadcastHeartbeat();
  }

  /** A leader with a hung disk holds everybody up; the sooner when the others could go on without it. */
  #isDiskStalled(): boolean {
    const { diskStallTicks, electionTicksMax } = this.#options;
    if (this.#writeTicks >= diskStallTicks && this.#write !== undefined) return true;
    const isAhead = this.#log.commit > this.#log.durable;
    return isAhead && this.#write !== undefined && this.#writeTicks >= electionTicksMax;
  }

  #resetElectionTimer(): void {
    this.#electionElapsed = 0;
    this.#electionTimeout = this.#options.chance.int(
      this.#options.electionTicksMin,
      this.#options.electionTicksMax,
    );
  }

  // ---- roles ----

  #becomeFollower(term: Term, leader: NodeId | undefined, why: string): void {
    this.#trace("follower", term, why);
    if (term !== this.#term) {
      assert(term > this.#term, "terms never fall");
      this.#term = term;
      this.#vote = undefined;
      this.#hardStateChanged = true;
    }
    this.#role = "follower";
    this.#leader = leader;
    this.#office = undefined;
    this.#ballot = undefined;
    this.#resetElectionTimer();
  }

  /** Asks who would vote for this node, without touching any term (thesis 9.6). */
  #preCampaign(): void {
    this.#resetElectionTimer();
    if (!isVoter(this.#configuration, this.#options.id)) return;
    // A node whose disk hangs could not store its own vote.
    if (this.#write !== undefined && this.#writeTicks >= this.#options.electionTicksMin) return;
    this.#trace("pre-candidate", this.#term, "no leader was heard in time");
    this.#role = "pre-candidate";
    this.#leader = undefined;
    this.#ballot = new Ballot();
    this.#requestVotes(this.#term + 1, true);
    this.#countVote(this.#options.id, true, true);
  }

  /** The campaign proper: its messages leave, and its own vote counts, only when the vote is durable (paper 5.2). */
  #campaign(): void {
    this.#trace("candidate", this.#term + 1, "a quorum would vote for it");
    this.#role = "candidate";
    this.#leader = undefined;
    this.#ballot = new Ballot();
    this.#term++;
    this.#vote = this.#options.id;
    this.#hardStateChanged = true;
    this.#resetElectionTimer();
    this.#requestVotes(this.#term, false);
    this.#reply({ ...this.#to(this.#options.id), kind: "request-vote-reply", preVote: false, granted: true });
  }

  #becomeLeader(): void {
    this.#trace("leader", this.#term, "a quorum voted for it");
    assert(this.#role === "candidate", "only a candidate becomes leader");
    assert(this.#vote === this.#options.id, "a leader voted for itself");
    this.#role = "leader";
    this.#leader = this.#options.id;
    this.#ballot = undefined;
    this.#electionElapsed = 0;
    this.#heartbeatElapsed = 0;
    this.#uncommittedBytes = 0;
    this.#office = new Leader({
      id: this.#options.id,
      term: this.#term,
      configuration: this.#configuration,
      log: this.#log,
      appendBytesMax: this.#options.appendBytesMax,
      windowBytesMax: this.#options.windowBytesMax,
      probeTicks: this.#options.heartbeatTicks,
      stuckTicks: this.#options.electionTicksMin,
      send: (message) => this.#outbox.send(message),
    });
    this.#append("noop", emptyBytes);
    this.#office.broadcastHeartbeat();
  }

  #append(kind: EntryKind, data: Bytes): Entry {
    const entry = { kind, data, term: this.#term, index: this.#log.lastIndex + 1 };
    this.#log.push(entry);
    this.#uncommittedBytes += data.length;
    return entry;
  }

  // ---- messages ----

  /** Settles a message of a later term before it is dispatched. Returns whether it is to be dispatched at all. */
  #adoptTerm(message: Message): boolean {
    if (message.kind === "request-vote") {
      // While a leader is heard nobody may unseat it, not even with a later term (thesis 6.4, leader stickiness).
      if (this.#hearsLeader()) return false;
      if (message.preVote) {
        this.#answerPreVote(message);
        return false;
      }
    }
    if (message.kind === "request-vote-reply" && message.preVote && message.granted) {
      // A granted pre-vote names the term this node would campaign in.
      if (this.#role === "pre-candidate" && message.term === this.#term + 1)
        this.#countVote(message.from, true, true);
      return false;
    }
    const isFromLeader = message.kind === "append-entries" || message.kind === "heartbeat";
    const leader = isFromLeader ? message.from : undefined;
    this.#becomeFollower(message.term, leader, `${message.kind} of a later term`);
    return true;
  }

  #dispatch(message: Message): void {
    switch (message.kind) {
      case "request-vote":
        if (message.preVote) this.#answerPreVote(message);
        else this.#handleRequestVote(message);
        return;
      case "request-vote-reply":
        this.#handleRequestVoteReply(message);
        return;
      case "append-entries":
        this.#followLeader(message.from);
        this.#handleAppendEntries(message);
        return;
      case "heartbeat":
        this.#followLeader(message.from);
        this.#handleHeartbeat(message);
        return;
      case "append-entries-reply":
        this.#office?.handleAppendEntriesReply(message);
        return;
      case "heartbeat-reply":
        this.#office?.handleHeartbeatReply(message);
        return;
      default:
        unreachable(message);
    }
  }

  /** Tells the sender of an old term that time went on, so that it steps down or stops asking. */
  #answerLowerTerm(message: Message): void {
    if (message.kind === "append-entries" || message.kind === "heartbeat")
      this.#outbox.send({ ...this.#to(message.from), kind: "heartbeat-reply", context: 0 });
    else if (message.kind === "request-vote")
      this.#outbox.send({
        ...this.#to(message.from),
        kind: "request-vote-reply",
        preVote: message.preVote,
        granted: false,
      });
  }

  #hearsLeader(): boolean {
    return this.#leader !== undefined && this.#electionElapsed < this.#options.electionTicksMin;
  }

  #requestVotes(term: Term, preVote: boolean): void {
    const { id: from } = this.#options;
    for (const to of voters(this.#configuration)) {
      if (to === from) continue;
      const message: RequestVote = { kind: "request-vote", from, to, term, preVote, last: this.#log.last };
      if (preVote) this.#outbox.send(message);
      else this.#reply(message);
    }
  }

  /** A pre-vote is a forecast: would this node vote for the sender in the term it names? */
  #answerPreVote(message: RequestVote): void {
    const granted = message.term > this.#term && !this.#hearsLeader() && this.#log.isUpToDate(message.last);
    this.#outbox.send({
      ...this.#to(message.from),
      term: granted ? message.term : this.#term,
      kind: "request-vote-reply",
      preVote: true,
      granted,
    });
  }

  /** RequestVote (paper 5.2, 5.4.1): one vote a term, first come first served, for a log not behind this one. */
  #handleRequestVote(message: RequestVote): void {
    const isFree = this.#vote === message.from || (this.#vote === undefined && this.#leader === undefined);
    const granted = isFree && this.#log.isUpToDate(message.last);
    if (granted) {
      if (this.#vote === undefined) this.#hardStateChanged = true;
      this.#vote = message.from;
      this.#resetElectionTimer();
    }
    this.#reply({ ...this.#to(message.from), kind: "request-vote-reply", preVote: false, granted });
  }

  #handleRequestVoteReply(message: RequestVoteReply): void {
    // A granted pre-vote names a later term than this node's (see #adoptTerm): this one is of an earlier campaign.
    if (message.preVote && message.granted) return;
    const wanted = message.preVote ? "pre-candidate" : "candidate";
    if (this.#role !== wanted) return;
    this.#countVote(message.from, message.granted, message.preVote);
  }

  #countVote(voter: NodeId, granted: boolean, preVote: boolean): void {
    assert(this.#ballot !== undefined, "votes are counted during a campaign");
    this.#ballot.record(voter, granted);
    const result = this.#ballot.result(this.#configuration);
    if (result === "lost") this.#becomeFollower(this.#term, undefined, "a quorum refused");
    if (result !== "won") return;
    if (preVote) this.#campaign();
    else this.#becomeLeader();
  }

  #followLeader(leader: NodeId): void {
    assert(this.#role !== "leader", "a term has one leader");
    assert(this.#leader === undefined || this.#leader === leader, "a term has one leader");
    if (this.#role !== "follower") this.#becomeFollower(this.#term, leader, "another node leads the term");
    this.#leader = leader;
    this.#resetElectionTimer();
  }

  /** AppendEntries (paper 5.3). The acceptance leaves when everything it speaks of is durable. */
  #handleAppendEntries(message: AppendEntries): void {
    const reply = { ...this.#to(message.from), kind: "append-entries-reply" as const };
    if (message.prev.index < this.#log.firstIndex - 1) {
      // It cannot be compared any more, but what is applied and dropped agrees with every leader (paper 5.4.3).
      const index = this.#log.commit;
      this.#reply({ ...reply, accepted: true, index, hint: { index, term: message.term } });
      return;
    }
    if (!this.#log.has(message.prev)) {
      const hint = this.#log.lastAgreement(message.prev);
      this.#outbox.send({ ...reply, accepted: false, index: message.prev.index, hint });
      return;
    }
    this.#log.merge(message.entries);
    const verified = message.prev.index + message.entries.length;
    this.#log.commitTo(Math.min(message.commit, verified));
    this.#reply({ ...reply, accepted: true, index: verified, hint: { index: verified, term: message.term } });
  }

  #handleHeartbeat(message: Heartbeat): void {
    if (message.commit > this.#log.lastIndex)
      throw new KvraftError(
        "CORRUPTION",
        `Cannot go on: this node acknowledged the log up to ${message.commit} but has it only up to ` +
          `${this.#log.lastIndex}; its disk lost writes that were synced, replace the node`,
      );
    this.#log.commitTo(message.commit);
    this.#outbox.send({ ...this.#to(message.from), kind: "heartbeat-reply", context: message.context });
  }

  // ---- outbox ----

  #to(to: NodeId): { from: NodeId; to: NodeId; term: Term } {
    return { from: this.#options.id, to, term: this.#term };
  }

  /**
   * The one place that decides when a message which vouches for this node's state may leave: after the write that
   * holds that state, or at once when all of it is on the disk (thesis 3.8).
   */
  #reply(message: Message): void {
    if (this.#hardStateChanged || this.#log.hasUnwritten) this.#outbox.hold(this.#writeCount + 1, message);
    else if (this.#write !== undefined) this.#outbox.hold(this.#write.id, message);
    else if (message.to === this.#options.id) this.#dispatch(message);
    else this.#outbox.send(message);
  }

  #trace(role: Role, term: Term, why: string): void {
    const { trace, id } = this.#options;
    if (trace === undefined || (role === this.#role && term === this.#term)) return;
    const terms = term === this.#term ? `term ${term}` : `term ${this.#term}→${term}`;
    trace(`${id} ${this.#role}→${role} ${terms} (${why})`);
  }
}
