import { Progress } from "./progress.ts";
import { isQuorum, quorumIndex, voters } from "./quorum.ts";
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
  readonly configuration: Configuration;
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

/** What only a leader knows and does: the followers' progress, the commit rule, read rounds. Lives for one term. */
export class Leader {
  readonly #options: LeaderOptions;
  readonly #progress = new Map<NodeId, Progress>();
  readonly #reads = new ReadRounds();
  /** The first entry of this term: nothing before it is committed by counting (paper 5.4.2). */
  readonly #firstIndex: Index;

  /** Called when the term's no-op is not yet in the log. */
  constructor(options: LeaderOptions) {
    this.#options = options;
    this.#firstIndex = options.log.lastIndex + 1;
    for (const id of voters(options.configuration)) {
      if (id !== options.id) this.#progress.set(id, new Progress(this.#firstIndex));
    }
  }

  get progress(): ReadonlyMap<NodeId, Readonly<Progress>> {
    return this.#progress;
  }

  /** Whether an entry of this term is committed: only then is the commit index known to be the newest (thesis 6.4). */
  get hasCommittedInTerm(): boolean {
    return this.#options.log.commit >= this.#firstIndex;
  }

  /** Sends what each follower may get now: entries that wait, and the heartbeat of a read round that can begin. */
  flush(): void {
    for (const [id, progress] of this.#progress) this.#sendAppendEntries(id, progress);
    this.#beginReadRound();
  }

  broadcastHeartbeat(): void {
    const { id: from, term, log } = this.#options;
    for (const [to, { match }] of this.#progress) {
      const commit = Math.min(match, log.commit);
      this.#options.send({ kind: "heartbeat", from, to, term, commit, context: this.#reads.context });
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
  }

  /** The commit rule (paper 5.3, 5.4.2): a quorum holds it durably, and it is of this term. */
  maybeCommit(): boolean {
    const { configuration, log, id, term } = this.#options;
    const index = quorumIndex(configuration, (voter) =>
      voter === id ? log.durable : (this.#progress.get(voter)?.match ?? 0),
    );
    if (index <= log.commit || log.term(index) !== term) return false;
    return log.commitTo(index);
  }

  /** Whether a quorum has been heard since the last call (thesis 6.2). */
  checkQuorum(): boolean {
    const heard = isQuorum(
      this.#options.configuration,
      (id) => id === this.#options.id || this.#progress.get(id)?.isActive === true,
    );
    for (const progress of this.#progress.values()) progress.isActive = false;
    return heard;
  }

  reportUnreachable(id: NodeId): void {
    this.#progress.get(id)?.becomeUnreachable();
  }

  readIndex(context: number): void {
    this.#reads.add(context);
  }

  takeReads(): readonly ReadState[] {
    return this.#reads.take();
  }

  #sendAppendEntries(to: NodeId, progress: Progress): void {
    const { log, windowBytesMax } = this.#options;
    if (progress.next < log.firstIndex) progress.skipTo(log.firstIndex);
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
    if (isQuorum(configuration, has)) this.#reads.confirm();
  }
}

function bytesOf(entries: readonly Entry[]): number {
  let bytes = 0;
  for (const entry of entries) bytes += entry.data.length;
  return bytes;
}
