import { assert, unreachable } from "../lib/assert.ts";
import { type Bytes, emptyBytes } from "../lib/bytes.ts";
import { Ballot, isBefore } from "./ballot.ts";
import { Configurations, problemOfChange } from "./configurations.ts";
import { ElectionTimer } from "./election-timer.ts";
import { Follower } from "./follower.ts";
import { Leader } from "./leader.ts";
import { answerToLowerTerm } from "./lower-term.ts";
import { problemOf, type Receiver } from "./message-check.ts";
import { Outbox } from "./outbox.ts";
import type { Progress } from "./progress.ts";
import { isVoter, voters } from "./quorum.ts";
import { RaftLog } from "./raft-log.ts";
import type { ChangeResult, RaftOptions, RaftState, StartResult } from "./raft-options.ts";
import { Stalls } from "./stalls.ts";
import {
  type AppendEntries,
  type Configuration,
  type Entry,
  type EntryId,
  type EntryKind,
  type Heartbeat,
  type Index,
  type InstallSnapshot,
  isFromLeader,
  type Message,
  type NodeId,
  type ReadState,
  type RequestVote,
  type RequestVoteReply,
  type Role,
  type Term,
  termMax,
  type Write,
} from "./types.ts";
import { WriteSlot } from "./write-slot.ts";

/**
 * The consensus core (Ongaro, Ousterhout: In Search of an Understandable Consensus Algorithm; Ongaro's thesis for
 * PreVote, CheckQuorum and ReadIndex). It has no clock, disk, socket or chance of its own: the same calls give the
 * same answers. What it wants done waits in outboxes: messages that may leave now (`takeMessages`), what must reach
 * the disk (`takeWrite`, answered by `wrote`), what is decided (`takeCommitted`), reads that are safe (`takeReads`).
 */
export class Raft {
  readonly #options: RaftOptions;
  readonly #log: RaftLog;
  readonly #follower: Follower;
  readonly #outbox = new Outbox();
  readonly #timer: ElectionTimer;
  readonly #configurations: Configurations;
  #term: Term;
  #vote: NodeId | undefined;
  #role: Role = "follower";
  /** Whom this node believes to lead its term. */
  #leader: NodeId | undefined;
  /** Defined exactly while the role is leader. */
  #office: Leader | undefined;
  /** Defined exactly while the role is pre-candidate or candidate. */
  #ballot: Ballot | undefined;
  #heartbeatElapsed = 0;
  #uncommittedBytes = 0;
  #hardStateChanged = false;
  /** Who has offered a snapshot. */
  #snapshotOffer: NodeId | undefined;
  readonly #write = new WriteSlot();
  readonly #stalls: Stalls;

  constructor(options: RaftOptions) {
    assert(options.heartbeatTicks > 0, "heartbeats take at least a tick");
    assert(options.heartbeatTicks < options.electionTicksMin, "heartbeats come before an election times out");
    this.#options = options;
    this.#timer = new ElectionTimer(options.chance, options.electionTicksMin, options.electionTicksMax);
    this.#configurations = new Configurations(options.applied, options.configuration);
    this.#term = options.hardState.term;
    this.#vote = options.hardState.vote;
    this.#log = new RaftLog(options.log, options.hardState.commit, options.applied);
    this.#stalls = new Stalls(options, this.#log, this.#write);
    this.#follower = new Follower(this.#log, (entries) => this.#adoptConfigurations(entries));
    // A snapshot was stored, and the process died before the term that came along with it was.
    if (this.#log.isEmpty) this.#reachTerm(this.#log.last.term);
    assert(this.#log.last.term <= this.#term, "the log holds no entry of a later term");
    for (const index of options.log.configurations)
      if (index > options.applied) this.#adoptConfigurations(this.#log.slice(index, index + 1, 0));
    this.#configurations.commitTo(this.#log.commit);
  }

  // ---- what goes in ----

  /** One unit of logical time. A late tick counts once. */
  tick(): void {
    this.#write.tick();
    this.#timer.elapsed++;
    if (this.#office !== undefined) this.#tickLeader(this.#office);
    else if (this.#timer.hasRunOut) this.#preCampaign();
  }

  /** Before each tick: whether committed entries wait for a store that has done nothing since the tick before. */
  reportStore(isHeldUp: boolean): void {
    this.#stalls.reportStore(isHeldUp);
  }

  /** The process stood still for about so many ticks: a leader that overslept an election timeout steps down. */
  overslept(ticks: number): void {
    if (this.#role === "leader" && ticks >= this.#options.electionTicksMin)
      this.#becomeFollower(this.#term, undefined, `stood still for ${ticks} ticks`);
  }

  /**
   * Input from a peer. Messages for others, from itself or out of time are ignored. Who is unknown here may be a member
   * by a configuration that this node has yet to hear of, so it is answered (paper 6); it counts in no quorum. Returns
   * why no honest member can have sent it (see message-check.ts): then nothing was done.
   */
  step(message: Message): string | undefined {
    if (message.to !== this.#options.id || message.from === message.to) return undefined;
    const problem = problemOf(message, this.#receiver);
    if (problem !== undefined || (message.term > this.#term && !this.#adoptTerm(message))) return problem;
    const answer = message.term < this.#term && answerToLowerTerm(message, this.#to(message.from));
    if (answer) this.#outbox.send(answer);
    if (message.term === this.#term) this.#dispatch(message);
    this.#noticeCommit();
    return undefined;
  }

  /** Proposes a command. It is decided when an entry with this index and term comes out of takeCommitted. */
  start(command: Bytes): StartResult {
    if (this.#role !== "leader") return { ok: false, reason: "not-leader", leader: this.#leader };
    if (this.#uncommittedBytes > this.#options.uncommittedBytesMax || this.#office!.isTransferring)
      return { ok: false, reason: "busy", leader: this.#leader };
    const entry = this.#append("command", command);
    return { ok: true, index: entry.index, term: entry.term };
  }

  /**
   * Proposes a configuration, which is in force at once and decided like any entry (paper 6). Refused while another one
   * is not committed, and before an own-term commit: else two changes could make majorities that share nobody.
   */
  changeConfiguration(data: Bytes): ChangeResult {
    const office = this.#office;
    if (office === undefined) return { ok: false, reason: "not-leader", text: "this node does not lead" };
    if (!this.#configurations.isSettled || !office.hasCommittedInTerm || office.isTransferring)
      return { ok: false, reason: "busy", text: "another change, or the change of the leader, is under way" };
    const wanted = this.#options.decodeConfiguration(data);
    const text = problemOfChange(this.#configurations.latest, wanted);
    if (text !== undefined) return { ok: false, reason: "illegal", text };
    const entry = this.#append("config", data);
    this.#adoptConfigurations([entry]);
    return { ok: true, index: entry.index, term: entry.term };
  }

  /**
   * Hands the office over to that voter, or to the one with the most of the log (thesis 3.10). Proposals are refused as
   * busy until it leads or an election's time has passed. Returns false when there is nobody to hand it to.
   */
  transferLeadership(to?: NodeId): boolean {
    return this.#office?.transferTo(to) ?? false;
  }

  /**
   * The process that led is gone for certain: its connection closed, and nobody listens there or another process does.
   * There is no use in waiting for an election timeout; a few ticks, drawn, keep the followers apart.
   */
  reportGone(id: NodeId): void {
    if (this.#role !== "follower" || this.#leader !== id) return;
    this.#leader = undefined;
    this.#timer.hurry();
  }

  /**
   * The state machine was replaced by a snapshot of the state after this entry, durably, along with the place where the
   * log begins: what the log holds that the snapshot contradicts is dropped. `configuration` is the snapshot's. It may
   * come from a later term than this node has heard of, and then from a later leader than the one it followed. A leader
   * steps down: it was to have all that is decided.
   */
  restore(snapshot: EntryId, configuration: Configuration): void {
    if (snapshot.term > this.#term)
      this.#becomeFollower(snapshot.term, undefined, "the snapshot is of a later term");
    else if (this.#office !== undefined)
      this.#becomeFollower(this.#term, undefined, "others have decided without it");
    const goesOn = this.#log.restore(snapshot);
    this.#configurations.restore(snapshot.index, configuration, goesOn);
    // The log that the acceptances speak of is gone.
    if (!goesOn) this.#outbox.forgetHeld("append-entries-reply");
    if (this.#leader === undefined) return;
    const { index } = snapshot;
    const hint = { index, term: this.#term };
    const reply = { ...this.#to(this.#leader), kind: "append-entries-reply" as const };
    this.#reply({ ...reply, accepted: true, index, hint });
  }

  /** Asks for a linearizable read; `context` comes back in takeReads. Refused before an own-term commit. */
  readIndex(context: number): { readonly ok: boolean } {
    if (this.#office === undefined || !this.#office.hasCommittedInTerm) return { ok: false };
    this.#office.readIndex(context);
    return { ok: true };
  }

  /** The process that spoke for this node counts no more: the next one is asked anew for all that it has and hears. */
  forget(id: NodeId): void {
    this.#office?.forget(id);
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
    if (this.#write.current !== undefined) return undefined;
    if (!this.#hardStateChanged && !this.#log.hasUnwritten) return undefined;
    const hardState = { term: this.#term, vote: this.#vote, commit: this.#log.commit };
    const start = this.#log.takeStart();
    this.#hardStateChanged = false;
    return this.#write.begin({ hardState, start, entries: this.#log.takeUnwritten() });
  }

  /** The write is durable: what waited for it may leave, but what an older term had to say stays unsaid. */
  wrote(id: number): void {
    this.#log.wrote(this.#write.end(id).entries);
    for (const message of this.#outbox.release(id)) {
      if (message.term !== this.#term) continue;
      // One leader a term, and it only appends: what was accepted in this term has not been replaced.
      if (message.kind === "append-entries-reply")
        assert(message.index <= this.#log.durable, "what was accepted is durable when its write is done");
      if (message.to === this.#options.id) this.#dispatch(message);
      else this.#outbox.send(message);
    }
    this.#office?.maybeCommit();
    this.#noticeCommit();
  }

  /** Committed and durable here, in log order, each entry once; as many as fit in `bytesMax`, at least one. */
  takeCommitted(bytesMax: number): readonly Entry[] {
    const entries = this.#log.takeCommitted(bytesMax);
    // Entries of older terms were never counted.
    if (this.#office !== undefined)
      for (const entry of entries) if (entry.term === this.#term) this.#uncommittedBytes -= entry.data.length;
    return entries;
  }

  /** Whether the leader has offered a snapshot since the last call: what this node needs is in nobody's log. */
  takeSnapshotOffer(): NodeId | undefined {
    const offer = this.#snapshotOffer;
    this.#snapshotOffer = undefined;
    return offer;
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

  /** Whether the configuration in force is committed. */
  get isSettled(): boolean {
    return this.#configurations.isSettled;
  }

  /** Whether this node leads and is handing its office over. */
  get isTransferring(): boolean {
    return this.#office?.isTransferring === true;
  }

  /** The one in force, whether it is committed or not. */
  get configuration(): Configuration {
    return this.#configurations.latest;
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
    if (this.#timer.elapsed >= electionTicksMin) {
      this.#timer.elapsed = 0;
      if (!office.checkQuorum()) return this.#becomeFollower(this.#term, undefined, "heard from no quorum");
    }
    const why = this.#stalls.whyOver(office, voters(this.configuration).length);
    if (why !== undefined) return this.#becomeFollower(this.#term, undefined, why);
    office.tick();
    if (++this.#heartbeatElapsed < heartbeatTicks) return;
    this.#heartbeatElapsed = 0;
    office.broadcastHeartbeat();
  }

  // ---- roles ----

  #becomeFollower(term: Term, leader: NodeId | undefined, why: string): void {
    this.#trace("follower", term, why);
    assert(term >= this.#term, "terms never fall");
    this.#reachTerm(term);
    this.#role = "follower";
    this.#leader = leader;
    this.#office = undefined;
    this.#ballot = undefined;
    this.#timer.reset();
  }

  #reachTerm(term: Term): void {
    if (term <= this.#term) return;
    this.#term = term;
    this.#vote = undefined;
    this.#hardStateChanged = true;
  }

  /** Asks who would vote for this node, without touching any term (thesis 9.6). */
  #preCampaign(): void {
    this.#timer.reset();
    // Also who does not campaign hears nobody: it votes for who does.
    this.#leader = undefined;
    if (!this.#configurations.mayLead(this.#options.id) || this.#term >= termMax) return;
    if (!this.#stalls.mayLead) return;
    this.#trace("pre-candidate", this.#term, "no leader was heard in time");
    this.#role = "pre-candidate";
    this.#ballot = new Ballot();
    this.#requestVotes(this.#term + 1, { preVote: true, isTransfer: false });
    this.#countVote(this.#options.id, true, true);
  }

  /** The campaign proper: its messages leave, and its own vote counts, only when the vote is durable (paper 5.2). */
  #campaign(why: string, isTransfer: boolean): void {
    this.#trace("candidate", this.#term + 1, why);
    this.#role = "candidate";
    this.#leader = undefined;
    this.#ballot = new Ballot();
    this.#term++;
    this.#vote = this.#options.id;
    this.#hardStateChanged = true;
    this.#timer.reset();
    this.#requestVotes(this.#term, { preVote: false, isTransfer });
    this.#reply({ ...this.#to(this.#options.id), kind: "request-vote-reply", preVote: false, granted: true });
  }

  #becomeLeader(): void {
    this.#trace("leader", this.#term, "a quorum voted for it");
    assert(this.#role === "candidate", "only a candidate becomes leader");
    assert(this.#vote === this.#options.id, "a leader voted for itself");
    this.#role = "leader";
    this.#leader = this.#options.id;
    this.#ballot = undefined;
    this.#timer.elapsed = 0;
    this.#heartbeatElapsed = 0;
    this.#uncommittedBytes = 0;
    this.#office = new Leader({
      ...this.#options,
      term: this.#term,
      configuration: () => this.#configurations.latest,
      log: this.#log,
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
      if (this.#hearsLeader() && !message.isTransfer) return false;
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
    const leader = isFromLeader(message) ? message.from : undefined;
    this.#becomeFollower(message.term, leader, `${message.kind} of a later term`);
    return true;
  }

  #dispatch(message: Message): void {
    if (isFromLeader(message)) this.#followLeader(message.from);
    switch (message.kind) {
      case "request-vote":
        return message.preVote ? this.#answerPreVote(message) : this.#handleRequestVote(message);
      case "request-vote-reply":
        return this.#handleRequestVoteReply(message);
      case "append-entries":
        return this.#handleAppendEntries(message);
      case "append-entries-reply":
        return this.#office?.handleAppendEntriesReply(message);
      case "heartbeat":
        return this.#handleHeartbeat(message);
      case "heartbeat-reply":
        return this.#office?.handleHeartbeatReply(message);
      case "install-snapshot":
        return this.#handleInstallSnapshot(message);
      case "timeout-now":
        return this.#handleTimeoutNow();
      default:
        unreachable(message);
    }
  }

  get #receiver(): Receiver {
    const { term, isLeader, leader } = this;
    const acceptedIndex = this.#follower.acceptedIndex(term);
    const readContext = this.#office?.readContext ?? 0;
    return { term, isLeader, leader, log: this.#log, acceptedIndex, readContext };
  }

  #hearsLeader(): boolean {
    return this.#leader !== undefined && this.#timer.elapsed < this.#options.electionTicksMin;
  }

  #requestVotes(term: Term, kind: Pick<RequestVote, "preVote" | "isTransfer">): void {
    const { id: from } = this.#options;
    for (const to of voters(this.configuration)) {
      if (to === from) continue;
      const message: RequestVote = { kind: "request-vote", from, to, term, ...kind, last: this.#log.last };
      if (kind.preVote) this.#outbox.send(message);
      else this.#reply(message);
    }
  }

  /** A pre-vote is a forecast: would this node vote for the sender in the term it names? */
  #answerPreVote(message: RequestVote): void {
    const hasJustBegun = this.#role === "pre-candidate" && this.#timer.elapsed < this.#options.heartbeatTicks;
    const goesFirst = hasJustBegun && isBefore({ from: this.#options.id, last: this.#log.last }, message);
    const isFree = message.term > this.#term && !this.#hearsLeader() && !goesFirst;
    const granted = isFree && this.#log.isUpToDate(message.last);
    this.#outbox.send({
      ...this.#to(message.from),
      term: granted ? message.term : this.#term,
      kind: "request-vote-reply",
      preVote: true,
      granted,
    });
    // Who asks hears no leader any more, and cannot win against this log: so it is worth asking it again, now.
    if (isFree && !granted && this.#role === "pre-candidate") this.#preCampaign();
  }

  /** RequestVote (paper 5.2, 5.4.1): one vote a term, first come first served, for a log not behind this one. */
  #handleRequestVote(message: RequestVote): void {
    const isFree = this.#vote === message.from || (this.#vote === undefined && this.#leader === undefined);
    const granted = isFree && this.#log.isUpToDate(message.last);
    if (granted) {
      if (this.#vote === undefined) this.#hardStateChanged = true;
      this.#vote = message.from;
      this.#timer.reset();
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
    const result = this.#ballot.result(this.configuration);
    if (result === "lost") this.#becomeFollower(this.#term, undefined, "a quorum refused");
    if (result !== "won") return;
    if (preVote) this.#campaign("a quorum would vote for it", false);
    else this.#becomeLeader();
  }

  #followLeader(leader: NodeId): void {
    assert(this.#role !== "leader", "a term has one leader");
    assert(this.#leader === undefined || this.#leader === leader, "a term has one leader");
    if (this.#role !== "follower") this.#becomeFollower(this.#term, leader, "another node leads the term");
    this.#leader = leader;
    this.#timer.reset();
  }

  /** AppendEntries (paper 5.3). The acceptance leaves when everything it speaks of is durable. */
  #handleAppendEntries(message: AppendEntries): void {
    const answer = this.#follower.appendEntries(message);
    const reply = { ...this.#to(message.from), kind: "append-entries-reply" as const, ...answer };
    if (answer.accepted) this.#reply(reply);
    else this.#outbox.send(reply);
  }

  #handleHeartbeat(message: Heartbeat): void {
    this.#follower.heartbeat(message);
    this.#outbox.send({ ...this.#to(message.from), kind: "heartbeat-reply", context: message.context });
  }

  /** An offer of what this node has is answered like an append of it; else the driver fetches a snapshot. */
  #handleInstallSnapshot(message: InstallSnapshot): void {
    const answer = this.#follower.installSnapshot(message);
    if (answer === undefined) this.#snapshotOffer = message.from;
    else this.#reply({ ...this.#to(message.from), kind: "append-entries-reply", ...answer });
  }

  /** The leader wants to be followed by this node, so nobody needs to be asked whether it is still heard. */
  #handleTimeoutNow(): void {
    if (!isVoter(this.configuration, this.#options.id) || !this.#stalls.mayLead) return;
    if (this.#term >= termMax) return;
    this.#campaign("the leader hands over", true);
  }

  /** These entries are new in the log: a configuration among them is in force, and one they replaced no more. */
  #adoptConfigurations(entries: readonly Entry[]): void {
    if (entries.length === 0) return;
    this.#configurations.truncate(entries[0]!.index);
    for (const { kind, index, data } of entries)
      if (kind === "config") this.#configurations.append(index, this.#options.decodeConfiguration(data));
    this.#office?.reconfigure();
  }

  /** A leader that the committed configuration leaves out manages its cluster up to here, and no further (paper 6). */
  #noticeCommit(): void {
    if (!this.#configurations.commitTo(this.#log.commit)) return;
    const isOver = this.#configurations.isSettled && !isVoter(this.configuration, this.#options.id);
    if (this.#office === undefined || !isOver) return;
    this.#office.resign();
    this.#becomeFollower(this.#term, undefined, "it is no voter any more");
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
    const { current, nextId } = this.#write;
    if (this.#hardStateChanged || this.#log.hasUnwritten) this.#outbox.hold(nextId, message);
    else if (current !== undefined) this.#outbox.hold(current.id, message);
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
