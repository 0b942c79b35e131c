import type { Clock } from "../env/clock.ts";
import { encodeCommand } from "../kv/command.ts";
import { commandTimeMsMax } from "../kv/limits.ts";
import type { StateMachine } from "../kv/state-machine.ts";
import { type Bytes, emptyBytes } from "../lib/bytes.ts";
import { ByteWriter } from "../lib/codec.ts";
import { isQuorum, quorumIndex } from "../raft/quorum.ts";
import type { Raft } from "../raft/raft.ts";
import type { StartResult } from "../raft/raft-options.ts";
import type { Message, NodeId, Term } from "../raft/types.ts";
import { clockEntryEveryMs, wallCheckEveryMs, wallOffMsMax } from "./limits.ts";
import { medianOffset } from "./median-offset.ts";

export interface ClusterTimeOptions {
  readonly clock: Clock;
  readonly nodeId: NodeId;
  readonly raft: Pick<Raft, "term" | "leader" | "configuration" | "getState">;
  readonly machine: Pick<StateMachine, "clockMs" | "wallOffsetMs">;
  /** Whether this node leads and has applied everything that earlier leaders may have committed. */
  readonly isReady: () => boolean;
  readonly propose: (command: Bytes) => StartResult;
  /** Lease time stops when for so long no quorum was heard, or nothing that was proposed was committed. */
  readonly electionMs: number;
}

/** A voter as the leader of this term has heard it; times are of this node's monotonic clock. */
interface Voter {
  heardAtMs: number;
  /** Its wall clock, and when it said so. */
  wallMs: number | undefined;
  wallAtMs: number;
}

/**
 * The two times of a cluster.
 *
 * **Lease time** counts the milliseconds of the serving leader's monotonic clock. Its value goes into each command and each
 * heartbeat, and a new leader continues from the highest one that it knows: all of the log is applied before it serves. It
 * stands still while there is no leader, and while the leader cannot commit: nobody could renew anything then.
 *
 * **Wall time** is lease time plus a replicated offset, which only clock commands move: to the median over all voters, so
 * that no single wrong clock moves it.
 */
export class ClusterTime {
  readonly #options: ClusterTimeOptions;
  /** The term that this node serves as its leader, or 0. */
  #servedTerm: Term = 0;
  /** While it serves: lease time, and the moment up to which it is counted. */
  #leaseMs = 0;
  #atMs = 0;
  /** Lease time runs up to here at least; where it stops is looked at only afterwards. */
  #runsUntilMs = 0;
  /** When something was committed last, or nothing was left to commit. */
  #progressAtMs = 0;
  #commit = 0;
  /** The highest lease time that a leader's heartbeat told, and when. */
  #toldMs = 0;
  #toldAtMs = 0;
  /** A clock command has to stand before the next command: after this leader's no-op, and after a pause. */
  #isOffsetDue = false;
  /** As of the last clock command in this leader's log. */
  #offsetMs = 0;
  #checkedAtMs = 0;
  /** Lease time of the last command in this leader's log. */
  #stampedMs = 0;
  /** The voters that were heard in term `#heardTerm`. */
  readonly #voters = new Map<NodeId, Voter>();
  #heardTerm: Term = 0;

  constructor(options: ClusterTimeOptions) {
    this.#options = options;
  }

  /** Lease time now, as far as this node knows: what a client is told. */
  get leaseMs(): number {
    const nowMs = this.#options.clock.monotonicMs();
    this.#follow(nowMs);
    if (this.#servedTerm !== 0) return Math.floor(this.#leaseMs);
    const { machine, electionMs } = this.#options;
    const passedMs = this.#toldMs === 0 ? 0 : Math.min(nowMs - this.#toldAtMs, electionMs);
    return Math.max(machine.clockMs, Math.floor(this.#toldMs + passedMs));
  }

  /** Whether a time is more than `byMs` ahead of lease time now. The clock is read only for a time after the last stamp. */
  isAhead(timeMs: number, byMs: number): boolean {
    return timeMs > this.#stampedMs + byMs && timeMs > this.leaseMs + byMs;
  }

  /** Wall time now, in ms since 1970, as far as this node knows. */
  get wallMs(): number {
    return this.leaseMs + this.#options.machine.wallOffsetMs;
  }

  /** Puts the time that belongs into its kind into a message that leaves. */
  stamp(message: Message): void {
    if (message.kind === "heartbeat") message.timeMs = this.leaseMs;
    else if (message.kind === "heartbeat-reply" || message.kind === "request-vote-reply")
      message.timeMs = this.#ownWallMs;
  }

  /** A message that the core has taken. */
  heard(message: Message): void {
    const { raft, clock } = this.#options;
    const { from, term } = message;
    if (term !== raft.term) return;
    if (message.kind === "heartbeat" && raft.leader === from) {
      if (message.timeMs === undefined || message.timeMs < this.#toldMs) return;
      this.#toldMs = message.timeMs;
      this.#toldAtMs = clock.monotonicMs();
      return;
    }
    const isVote = message.kind === "request-vote-reply" && !message.preVote;
    if (isVote || message.kind === "heartbeat-reply") this.#heardVoter(from, term, message.timeMs);
    else if (message.kind === "append-entries-reply") this.#heardVoter(from, term, undefined);
  }

  /** Before a leader proposes a command. Returns false while the clock command that stands before it cannot be proposed. */
  prepare(): boolean {
    this.#follow(this.#options.clock.monotonicMs());
    if (this.#servedTerm === 0) return false;
    if (this.#isOffsetDue) this.#proposeOffset();
    return !this.#isOffsetDue;
  }

  /** Lease time for the command that is proposed now, after `prepare`. */
  nextStampMs(): number {
    this.#stampedMs = Math.floor(this.#leaseMs);
    return this.#stampedMs;
  }

  /** Now and then: notices pauses, and moves wall time when it is off. */
  check(): void {
    const nowMs = this.#options.clock.monotonicMs();
    this.#follow(nowMs);
    if (this.#servedTerm === 0) return;
    const { commit, last } = this.#options.raft.getState();
    if (commit > this.#commit || commit === last.index) this.#progressAtMs = nowMs;
    this.#commit = commit;
    if (this.#isOffsetDue || this.#leaseMs - this.#stampedMs >= clockEntryEveryMs)
      return this.#proposeOffset();
    if (nowMs - this.#checkedAtMs < wallCheckEveryMs) return;
    this.#checkedAtMs = nowMs;
    if (Math.abs(this.#median(nowMs) - this.#offsetMs) >= wallOffMsMax) this.#proposeOffset();
  }

  /** 0 is for a time that is not told. */
  get #ownWallMs(): number {
    return Math.min(Math.max(this.#options.clock.wallMs(), 1), commandTimeMsMax);
  }

  /** Brings lease time up to this moment. */
  #follow(nowMs: number): void {
    const { raft, isReady } = this.#options;
    if (!isReady()) this.#servedTerm = 0;
    else if (this.#servedTerm === raft.term) this.#advance(nowMs);
    else this.#serve(nowMs);
  }

  #serve(nowMs: number): void {
    const { raft, machine } = this.#options;
    this.#servedTerm = raft.term;
    this.#stampedMs = 0;
    this.#leaseMs = Math.max(1, machine.clockMs, this.#toldMs);
    this.#atMs = nowMs;
    this.#runsUntilMs = nowMs;
    this.#progressAtMs = nowMs;
    this.#commit = raft.getState().commit;
    this.#isOffsetDue = true;
    this.#offsetMs = machine.wallOffsetMs;
  }

  #advance(nowMs: number): void {
    if (nowMs > this.#runsUntilMs) this.#runsUntilMs = this.#stopsAtMs(nowMs);
    const untilMs = Math.min(nowMs, this.#runsUntilMs);
    this.#leaseMs += Math.max(0, untilMs - this.#atMs);
    if (untilMs < nowMs) this.#isOffsetDue = true;
    this.#atMs = nowMs;
  }

  /** Where lease time stops if nothing more is heard. */
  #stopsAtMs(nowMs: number): number {
    const { raft, nodeId, electionMs } = this.#options;
    const quorumAtMs = quorumIndex(raft.configuration, (id) =>
      id === nodeId ? nowMs : (this.#voters.get(id)?.heardAtMs ?? Number.NEGATIVE_INFINITY),
    );
    return Math.min(quorumAtMs, this.#progressAtMs) + electionMs;
  }

  #heardVoter(id: NodeId, term: Term, wallMs: number | undefined): void {
    const nowMs = this.#options.clock.monotonicMs();
    // First what was before: silence that ends now was silence all the same.
    this.#follow(nowMs);
    if (term !== this.#heardTerm) {
      this.#voters.clear();
      this.#heardTerm = term;
    }
    const voter = this.#voters.get(id);
    if (voter === undefined) this.#voters.set(id, { heardAtMs: nowMs, wallMs, wallAtMs: nowMs });
    else {
      voter.heardAtMs = nowMs;
      if (wallMs === undefined) return;
      voter.wallMs = wallMs;
      voter.wallAtMs = nowMs;
    }
  }

  /** This voter's wall clock now; undefined for one that has not told it in this term. */
  #wallOf(id: NodeId, nowMs: number): number | undefined {
    if (id === this.#options.nodeId) return this.#ownWallMs;
    const voter = this.#heardTerm === this.#servedTerm ? this.#voters.get(id) : undefined;
    return voter?.wallMs === undefined ? undefined : voter.wallMs + Math.floor(nowMs - voter.wallAtMs);
  }

  /** The median over all voters. The present offset, until a quorum was heard. */
  #median(nowMs: number): number {
    const { configuration } = this.#options.raft;
    if (!isQuorum(configuration, (id) => this.#wallOf(id, nowMs) !== undefined)) return this.#offsetMs;
    const leaseMs = Math.floor(this.#leaseMs);
    return medianOffset(configuration, this.#offsetMs, (id) => {
      const wallMs = this.#wallOf(id, nowMs);
      return wallMs === undefined ? undefined : wallMs - leaseMs;
    });
  }

  #proposeOffset(): void {
    const { raft, clock, propose } = this.#options;
    const nowMs = clock.monotonicMs();
    if (!isQuorum(raft.configuration, (id) => this.#wallOf(id, nowMs) !== undefined)) return;
    const offsetMs = this.#median(nowMs);
    const timeMs = Math.floor(this.#leaseMs);
    const writer = new ByteWriter(24);
    const head = { timeMs, session: undefined, principal: emptyBytes };
    encodeCommand(writer, { type: "clock", ...head, wallMs: timeMs + offsetMs });
    if (!propose(writer.take()).ok) return;
    this.#isOffsetDue = false;
    this.#offsetMs = offsetMs;
    this.#stampedMs = timeMs;
    this.#checkedAtMs = nowMs;
  }
}
