import type { RaftLog } from "./raft-log.ts";
import type {
  AppendEntries,
  AppendEntriesReply,
  Entry,
  EntryId,
  Heartbeat,
  Index,
  InstallSnapshot,
  Term,
} from "./types.ts";

type Answer = Pick<AppendEntriesReply, "accepted" | "index" | "hint">;

/** A follower's part in replication (paper 5.3, 7): what it does with what its leader sends, and what it answers. */
export class Follower {
  readonly #log: RaftLog;
  readonly #added: (entries: readonly Entry[]) => void;
  /** The leader of this term was told that this node has its log up to `index`, or will be when that is durable. */
  #accepted: EntryId = { term: 0, index: 0 };

  /** `added` is told which entries are new in the log, in the place of all that stood there. */
  constructor(log: RaftLog, added: (entries: readonly Entry[]) => void) {
    this.#log = log;
    this.#added = added;
  }

  /** How much of its log the leader of this term knows to be here. */
  acceptedIndex(term: Term): Index {
    return this.#accepted.term === term ? this.#accepted.index : 0;
  }

  /** An acceptance vouches for the log: it is said when that is durable. */
  appendEntries(message: AppendEntries): Answer {
    const { prev, term } = message;
    // It cannot be compared any more, but what is applied and dropped agrees with every leader (paper 5.4.3).
    if (prev.index < this.#log.firstIndex - 1) return acceptance(this.#log.commit, term);
    if (!this.#log.has(message.prev))
      return { accepted: false, index: prev.index, hint: this.#log.lastAgreement(prev) };
    this.#added(this.#log.merge(message.entries));
    const verified = message.prev.index + message.entries.length;
    this.#log.commitTo(Math.min(message.commit, verified));
    this.#accepted = { term, index: Math.max(verified, this.acceptedIndex(term)) };
    return acceptance(verified, term);
  }

  /** The commit is one that this log reaches (see message-check.ts). */
  heartbeat(message: Heartbeat): void {
    this.#log.commitTo(message.commit);
  }

  /** Undefined when the offer has to be taken: this node has not got what the leader's log begins with. */
  installSnapshot({ start, term }: InstallSnapshot): Answer | undefined {
    // Only what is committed and applied is dropped from a log.
    if (this.#log.has(start)) this.#log.commitTo(start.index);
    const index = this.#log.commit;
    return index < start.index ? undefined : acceptance(index, term);
  }
}

function acceptance(index: Index, term: Term): Answer {
  return { accepted: true, index, hint: { index, term } };
}
