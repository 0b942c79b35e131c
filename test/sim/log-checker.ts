import { assert } from "../../src/lib/assert.ts";
import type { Raft } from "../../src/raft/raft.ts";
import type { Index } from "../../src/raft/types.ts";
import type { Persister } from "../../src/raftlog/persister.ts";
import type { Plan } from "./plan.ts";

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

  /** Whether the first file of a log, whose files are these, holds something that the store lacks or the tail wants. */
  isBounded(raft: Raft, paths: Iterable<string>, { logTailEntries }: Plan["limits"]): boolean {
    const look = this.#looks.get(raft);
    if (look === undefined) return false;
    const { log, upTo } = look;
    const starts = [...paths].flatMap((path) => Number(/\/log\/(\d+)-\d+\.log$/.exec(path)?.[1] ?? []));
    const next = Math.min(...starts.filter((start) => start > log.firstIndex));
    return next > upTo + 1 || log.lastIndex + 1 - next < logTailEntries;
  }
}
