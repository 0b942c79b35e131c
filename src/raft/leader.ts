import { Progress } from "./progress.ts";
import { isQuorum, isVoter, members, quorumIndex } from "./quorum.ts";
import type { RaftLog } from "./raft-log.ts";
import { ReadRounds } from "./read-rounds.ts";
import type {
  AppendEntriesReply,
  Configuration,
  Entry,
  HeartbeatReply,
  Index,
  Message,
  NodeId,
  ReadState,
  Term,
} from "./types.ts";

export interface LeaderOptions {
  readonly id: NodeId;
  readonly term: Term;
  /** The one in force now. */
  readonly configuration: () => Configuration;
  readonly log: RaftLog;
  /** Most bytes of entries in one AppendEntries. */
  readonly appendBytesMax: number;
  /** Most bytes of entries that may be under way to one follower. */
  readonly windowBytesMax: number;
  /** A probe is repeated after so many ticks. */
  readonly probeTicks: number;
  /** Entries that made no way for so many ticks count as lost. */
  readonly stuckTicks: number;
  readonly send: (message: Message) => void;
}

/** Most messages with entries that may be under way to one follower; bounds memory for tiny entries. */
const windowMessagesMax = 256;

/**
 * What only a leader knows and does: the followers' progress, the commit rule, read rounds, handing over its office.
 * Lives for one term.
 */
export class Leader {
  readonly #options: LeaderOptions;
  readonly #progress = new Map<NodeId, Progress>();
  readonly #reads = new ReadRounds();
  /** The first entry of this term: nothing before it is committed by counting (paper 5.4.2). */
  readonly #firstIndex: Index;
  /** Who is to lead instead, and for how many ticks it is waited for already. */
  #transfer: { readonly to: NodeId; ticks: number; isAsked: boolean } | undefined;

  /** Called when the term's no-op is not yet in the log. */
  constructor(options: LeaderOptions) {
    this.#options = options;
    this.#firstIndex = options.log.lastIndex + 1;
    this.reconfigure();
  }

  get progress(): ReadonlyMap<NodeId, Readonly<Progress>> {
    return this.#progress;
  }

  /** The last read round that has begun. */
  get readContext(): number {
    return this.#reads.context;
  }

  /** Whether an entry of this term is committed: only then is the commit index known to be the newest (thesis 6.4). */
  get hasCommittedInTerm(): boolean {
    return this.#options.log.commit >= this.#firstIndex;
  }

  /** Whether the office is being handed over: what is proposed now would only make it take longer. */
  get isTransferring(): boolean {
    return this.#transfer !== undefined;
  }

  /** Follows a change of the configuration. A member that comes back is a new one: nothing is known of its log. */
  reconfigure(): void {
    const { configuration, id: own, log } = this.#options;
    const present = new Set(members(configuration()));
    present.delete(own);
    for (const id of this.#progress.keys()) if (!present.has(id)) this.#progress.delete(id);
    for (const id of present)
      if (!this.#progress.has(id)) this.#progress.set(id, new Progress(log.lastIndex + 1));
    if (this.#transfer !== undefined && !this.#mayLead(this.#transfer.to)) this.#transfer = undefined;
  }

  /**
   * Hands the office over as soon as that voter has the whole log, or to whichever has most of it. Returns whether there
   * is such a voter, and it was heard lately. Given up when it takes longer than an election, also when it is asked for
   * again meanwhile.
   */
  transferTo(to: NodeId | undefined): boolean {
    const chosen = to ?? this.#mostAdvanced();
    if (chosen === undefined || !this.#mayLead(chosen) || !this.#progress.get(chosen)!.isHeard) return false;
    if (this.#transfer?.to !== chosen) this.#transfer = { to: chosen, ticks: 0, isAsked: false };
    return true;
  }

  /** Asks a voter to campaign now, without waiting for it to have the whole log: for a leader that is none any more. */
  resign(): void {
    const to = this.#mostAdvanced();
    if (to !== undefined) this.#sendTimeoutNow(to);
  }

  /** Sends what each follower may get now: entries that wait, and the heartbeat of a read round that can begin. */
  flush(): void {
    for (const [id, progress] of this.#progress) this.#sendAppendEntries(id, progress);
    // The quorum that a round waits for may have become another one.
    this.#confirmReads();
    this.#beginReadRound();
    this.#continueTransfer();
  }

  broadcastHeartbeat(): void {
    const { id: from, term, log } = this.#options;
    const context = this.#reads.context;
    const held = Math.min(log.durable, log.commit);
    for (const [to, { match }] of this.#progress) {
      // Only what is decided in its own term shows that a receiver which lacks it has lost it.
      const commit = this.hasCommittedInTerm ? Math.min(match, log.commit) : 0;
      this.#options.send({ kind: "heartbeat", from, to, term, commit, context, held });
    }
  }

  handleAppendEntriesReply(reply: AppendEntriesReply): void {
    const progress = this.#progress.get(reply.from);
    if (progress === undefined) return;
    progress.isActive = true;
    if (reply.accepted) {
      // A follower cannot have more of this leader's log than there is: a wrong reply must not become a commit.
      if (reply.index > this.#options.log.lastIndex) return;
      if (progress.accepted(reply.index)) this.maybeCommit();
    } else {
      progress.refused(reply.index, this.#options.log.lastAgreement(reply.hint).index);
    }
  }

  handleHeartbeatReply(reply: HeartbeatReply): void {
    const progress = this.#progress.get(reply.from);
    if (progress === undefined) return;
    progress.isActive = true;
    progress.confirmedContext = Math.max(progress.confirmedContext, reply.context);
    this.#confirmReads();
  }

  /** Repeats what seems to be lost. */
  tick(): void {
    const { probeTicks, stuckTicks } = this.#options;
    for (const progress of this.#progress.values()) progress.tick(probeTicks, stuckTicks);
    if (this.#transfer !== undefined && ++this.#transfer.ticks >= stuckTicks) this.#transfer = undefined;
  }

  /** The commit rule (paper 5.3, 5.4.2): a quorum holds it durably, and it is of this term. */
  maybeCommit(): boolean {
    const { configuration, log, id, term } = this.#options;
    const index = quorumIndex(configuration(), (voter) =>
      voter === id ? log.durable : (this.#progress.get(voter)?.match ?? 0),
    );
    if (index <= log.commit || log.term(index) !== term) return false;
    return log.commitTo(index);
  }

  /** Whether a quorum has been heard since the last call (thesis 6.2). */
  checkQuorum(): boolean {
    const heard = isQuorum(
      this.#options.configuration(),
      (id) => id === this.#options.id || this.#progress.get(id)?.isActive === true,
    );
    for (const progress of this.#progress.values()) {
      progress.wasActive = progress.isActive;
      progress.isActive = false;
    }
    return heard;
  }

  reportUnreachable(id: NodeId): void {
    this.#progress.get(id)?.becomeUnreachable();
  }

  /** What a process of this node said goes for no other one of its. */
  forget(id: NodeId): void {
    if (this.#progress.has(id)) this.#progress.set(id, Progress.unheard(this.#options.log.lastIndex + 1));
  }

  readIndex(context: number): void {
    this.#reads.add(context);
  }

  takeReads(): readonly ReadState[] {
    return this.#reads.take();
  }

  #sendAppendEntries(to: NodeId, progress: Progress): void {
    const { log, windowBytesMax } = this.#options;
    if (progress.next < log.firstIndex) progress.becomeSnapshot(log.firstIndex);
    if (progress.state === "snapshot") {
      if (!progress.isPaused) this.#offerSnapshot(to);
      progress.isPaused = true;
      return;
    }
    if (progress.state === "probe") {
      if (progress.isPaused) return;
      // A first probe carries entries: it is the right message at once if the logs agree where it starts.
      this.#send(to, progress.next, !progress.isRetry && progress.next <= log.lastIndex);
      progress.isPaused = true;
      return;
    }
    while (
      progress.next <= log.lastIndex &&
      progress.inFlightBytes < windowBytesMax &&
      progress.inFlightCount < windowMessagesMax
    ) {
      const entries = this.#send(to, progress.next, true);
      progress.sent(entries[entries.length - 1]!.index, bytesOf(entries));
    }
  }

  #send(to: NodeId, next: Index, withEntries: boolean): readonly Entry[] {
    const { id: from, term, log, appendBytesMax } = this.#options;
    const prev = { index: next - 1, term: log.termAt(next - 1) };
    const entries = withEntries ? log.slice(next, log.lastIndex + 1, appendBytesMax) : [];
    this.#options.send({ kind: "append-entries", from, to, term, prev, entries, commit: log.commit });
    return entries;
  }

  /** The rest of what it is to have follows once it has answered that it has the state up to the log's start. */
  #offerSnapshot(to: NodeId): void {
    const { id: from, term, log } = this.#options;
    const index = log.firstIndex - 1;
    this.#options.send({
      kind: "install-snapshot",
      from,
      to,
      term,
      start: { index, term: log.termAt(index) },
    });
  }

  #continueTransfer(): void {
    if (this.#transfer === undefined || this.#transfer.isAsked) return;
    if (this.#progress.get(this.#transfer.to)?.match !== this.#options.log.lastIndex) return;
    this.#transfer.isAsked = true;
    this.#sendTimeoutNow(this.#transfer.to);
  }

  #sendTimeoutNow(to: NodeId): void {
    const { id: from, term } = this.#options;
    this.#options.send({ kind: "timeout-now", from, to, term });
  }

  #mayLead(id: NodeId): boolean {
    return this.#progress.has(id) && isVoter(this.#options.configuration(), id);
  }

  /** Of the voters that were heard lately, the one with the most of the log. */
  #mostAdvanced(): NodeId | undefined {
    let best: NodeId | undefined;
    let bestMatch = -1;
    for (const [id, { match, isHeard }] of this.#progress) {
      if (!this.#mayLead(id) || !isHeard || match <= bestMatch) continue;
      best = id;
      bestMatch = match;
    }
    return best;
  }

  #beginReadRound(): void {
    if (!this.#reads.hasWaiting || this.#reads.isUnderWay) return;
    this.#reads.begin(this.#options.log.commit);
    this.broadcastHeartbeat();
    this.#confirmReads();
  }

  #confirmReads(): void {
    if (!this.#reads.isUnderWay) return;
    const { configuration, id } = this.#options;
    const context = this.#reads.context;
    const has = (voter: NodeId) =>
      voter === id || (this.#progress.get(voter)?.confirmedContext ?? 0) >= context;
    if (isQuorum(configuration(), has)) this.#reads.confirm();
  }
}

function bytesOf(entries: readonly Entry[]): number {
  let bytes = 0;
  for (const entry of entries) bytes += entry.data.length;
  return bytes;
}
