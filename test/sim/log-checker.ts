import { defaultLimits } from "../../src/config/config.ts";
import { assert } from "../../src/lib/assert.ts";
import type { Raft } from "../../src/raft/raft.ts";
import type { Index } from "../../src/raft/types.ts";
import type { Persister } from "../../src/raftlog/persister.ts";
import type { Plan } from "./plan.ts";

/** A file is dropped as a whole, and a group of entries is in one file as a whole. */
const groupEntriesMax = 12;

/** Sees what is dropped from logs: nothing that is not in the store, durably; and in the end all that nobody needs. */
export class LogChecker {
  /** Files that were dropped, by all nodes. */
  dropped = 0;
  readonly #looks = new Map<Raft, { readonly log: Persister; readonly upTo: Index }>();

  compacted(raft: Raft, log: Persister, upTo: Index, firstIndexBefore: Index): void {
    this.#looks.set(raft, { log, upTo });
    if (log.firstIndex === firstIndexBefore) return;
    this.dropped++;
    assert(
      log.firstIndex <= upTo + 1,
      `a log keeps what its store lacks: entry ${upTo + 1} of ${log.firstIndex}`,
    );
  }

  /** Whether a log that nobody lags behind holds what its store lacks, the tail that is wanted, and little more. */
  isBounded(raft: Raft, { limits, valueBytesMax }: Plan): boolean {
    const { logTailEntries, logTailBytes, segmentBytes } = limits;
    // A log that is kept whole says nothing.
    if (logTailEntries >= defaultLimits.logTailEntries) return true;
    const look = this.#looks.get(raft);
    if (look === undefined) return false;
    const { log, upTo } = look;
    let tailBytes = 0;
    let restBytes = 0;
    // What the store lacks has to stay.
    const end = Math.min(upTo, log.lastIndex) + 1;
    for (let index = log.firstIndex; index < end; )
      for (const { data } of log.slice(index, end, 1 << 20)) {
        const isTail = index++ > log.lastIndex - logTailEntries;
        if (isTail) tailBytes += data.length;
        else restBytes += data.length;
      }
    const restBytesMax = 4 * segmentBytes + groupEntriesMax * valueBytesMax;
    return tailBytes + restBytes <= Math.min(tailBytes, logTailBytes) + restBytesMax;
  }
}
