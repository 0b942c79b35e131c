import type { Limits } from "../config/config.ts";
import type { LevelDB } from "../leveldb/level-db.ts";
import type { Index } from "../raft/types.ts";
import type { Persister } from "../raftlog/persister.ts";

export interface LogCompactionOptions {
  readonly persister: Persister;
  readonly store: LevelDB;
  /** What stays for followers that are a little behind, although the store has it. Read at each use: they may change. */
  readonly limits: Pick<Limits, "logTailEntries" | "logTailBytes">;
  /** What must stay for somebody who fetches the state up to this index; Infinity when nobody does. */
  readonly heldIndex: () => Index;
}

/** The log is looked at once in so many ticks; while there is more to drop, a file goes each tick. */
const lookEveryTicks = 20;

/** Drops the front of the log as the store makes it superfluous: the store is the snapshot. */
export class LogCompaction {
  readonly #options: LogCompactionOptions;
  #ticks = 0;

  constructor(options: LogCompactionOptions) {
    this.#options = options;
  }

  tick(): void {
    if (++this.#ticks < lookEveryTicks) return;
    const { persister, store, limits, heldIndex } = this.#options;
    // No further than MANIFEST says: what is applied and not yet durable in the store is in the log only.
    const upTo = Math.min(store.applied.index, heldIndex());
    const isMore = persister.compact({
      upTo,
      tailEntries: limits.logTailEntries,
      tailBytes: limits.logTailBytes,
    });
    this.#ticks = isMore ? lookEveryTicks : 0;
  }
}
