import type { Entry, Index, Term } from "../../src/raft/types.ts";
import type { Persister, SavedState } from "../../src/raftlog/persister.ts";
import { contentOf, print, state } from "./log-fixture.ts";

/** What one save brings. */
export type Step = Partial<SavedState>;

/** The dumb twin of a log: its entries as an array, the term before them, and the hard state. */
export class Twin {
  firstIndex: Index = 1;
  previousTerm: Term = 0;
  entries: Entry[] = [];
  hardState = state(0);

  get lastIndex(): Index {
    return this.firstIndex + this.entries.length - 1;
  }

  term(index: Index): Term | undefined {
    return index === this.firstIndex - 1 ? this.previousTerm : this.entries[index - this.firstIndex]?.term;
  }

  apply({ hardState, entries = [], start }: Step): void {
    this.hardState = hardState ?? this.hardState;
    if (start !== undefined) {
      this.firstIndex = start.index + 1;
      this.previousTerm = start.term;
      this.entries = [];
      this.hardState = { ...this.hardState, commit: Math.max(this.hardState.commit, start.index) };
    }
    if (entries.length === 0) return;
    this.entries.length = entries[0]!.index - this.firstIndex;
    this.entries.push(...entries);
  }

  /** The log begins later, as after a compaction. */
  dropTo(firstIndex: Index): void {
    this.previousTerm = this.term(firstIndex - 1)!;
    this.entries = this.entries.slice(firstIndex - this.firstIndex);
    this.firstIndex = firstIndex;
  }

  copy(): Twin {
    const twin = new Twin();
    twin.firstIndex = this.firstIndex;
    twin.previousTerm = this.previousTerm;
    twin.entries = [...this.entries];
    twin.hardState = this.hardState;
    return twin;
  }

  /** Whether the log shows the same, by each of its doors. */
  holds(log: Persister): boolean {
    const configurations = this.entries.filter(({ kind }) => kind === "config").map(({ index }) => index);
    const terms = [this.previousTerm, ...this.entries.map(({ term }) => term), undefined];
    const { firstIndex, lastIndex, hardState } = this;
    return (
      Bun.deepEquals(log.readRaftState(), { hardState, firstIndex, lastIndex }) &&
      Bun.deepEquals(log.configurations, configurations) &&
      Bun.deepEquals(contentOf(log), { firstIndex, terms, entries: this.entries.map(print) })
    );
  }

  /** What a save may leave when it is cut between its groups: each whole number of its entries, or nothing of it. */
  *partsOf(step: Step): Generator<Twin> {
    const list = step.entries ?? [];
    for (let count = Math.min(1, list.length); count <= list.length; count++) {
      const part = this.copy();
      const last = list[count - 1]?.index ?? 0;
      let { hardState } = step;
      if (hardState !== undefined && count < list.length)
        hardState = { ...hardState, commit: Math.min(hardState.commit, last) };
      part.apply({ ...step, hardState, entries: list.slice(0, count) });
      yield part;
    }
    yield this.copy();
  }
}
