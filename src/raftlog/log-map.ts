import { assert } from "../lib/assert.ts";
import type { Index, Term } from "../raft/types.ts";
import type { StoredSegment } from "./stored-segment.ts";
import { TermTable } from "./term-table.ts";

/**
 * Which entries there are, their terms, and the segment each stands in. Recovery fills it from the files, saving
 * extends it, and both in the same two steps: begin a segment, append to it.
 *
 * Invariant: the ranges [from, to) of the segments, in order, are [firstIndex, lastIndex + 1) without gap or overlap
 * (some may be empty: everything in those was replaced).
 */
export class LogMap {
  readonly #segments: StoredSegment[] = [];
  #firstIndex: Index = 1;
  #lastIndex: Index = 0;
  #terms = new TermTable(1, 0);

  get firstIndex(): Index {
    return this.#firstIndex;
  }

  get lastIndex(): Index {
    return this.#lastIndex;
  }

  get segments(): readonly StoredSegment[] {
    return this.#segments;
  }

  /** The term at an index of [firstIndex - 1, lastIndex], undefined outside. */
  term(index: Index): Term | undefined {
    if (index < this.#firstIndex - 1 || index > this.#lastIndex) return undefined;
    return this.#terms.term(index);
  }

  /** `segment` is the newest: everything from its first index on is replaced by what it will hold. */
  beginSegment(segment: StoredSegment): void {
    const { firstIndex, previousTerm } = segment.header;
    if (this.#segments.length === 0 || firstIndex < this.#firstIndex) {
      // Nothing before it is left, and what its header remembers is the start of the log.
      this.#firstIndex = firstIndex;
      this.#terms = new TermTable(firstIndex, previousTerm);
    } else {
      assert(firstIndex <= this.#lastIndex + 1, "a segment follows the log without a gap");
      this.#terms.truncate(firstIndex);
    }
    for (let at = this.#segments.length - 1; at >= 0 && this.#segments[at]!.to > firstIndex; at--) {
      const older = this.#segments[at]!;
      older.to = firstIndex;
      older.from = Math.min(older.from, firstIndex);
    }
    this.#lastIndex = firstIndex - 1;
    this.#segments.push(segment);
  }

  /** The next entry stands in the newest segment. */
  append(index: Index, term: Term): void {
    assert(index === this.#lastIndex + 1, "entries follow each other without a gap");
    this.#lastIndex = index;
    this.#segments[this.#segments.length - 1]!.to = index + 1;
    this.#terms.append(index, term);
  }

  /** Forgets a segment in which no entry stands. */
  forget(segment: StoredSegment): void {
    assert(segment.from === segment.to, "entries that stand are not forgotten");
    this.#segments.splice(this.#segments.indexOf(segment), 1);
  }

  /** The segment in which the entry stands; `index` lies in [firstIndex, lastIndex]. */
  segmentOf(index: Index): StoredSegment {
    let low = 0;
    let high = this.#segments.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.#segments[middle]!.from <= index) low = middle;
      else high = middle - 1;
    }
    const segment = this.#segments[low]!;
    assert(segment.from <= index && index < segment.to, "every entry stands in one segment");
    return segment;
  }
}
