import { assert } from "../lib/assert.ts";
import type { Entry, Index, Term } from "../raft/types.ts";
import { segmentHeaderBytes } from "./segment.ts";
import type { StoredSegment } from "./stored-segment.ts";
import { TermTable } from "./term-table.ts";

/**
 * Which entries there are, their terms, which of them are configurations, and the segment each stands in. Recovery
 * fills it from the files, saving extends it, and both in the same two steps: begin a segment, append to it.
 *
 * Invariant: the ranges [from, to) of the segments, in order, are [firstIndex, lastIndex + 1) without gap or overlap
 * (some may be empty: everything in those was replaced).
 */
export class LogMap {
  readonly #segments: StoredSegment[] = [];
  #firstIndex: Index = 1;
  #lastIndex: Index = 0;
  #terms = new TermTable(1, 0);
  /** Ascending. */
  #configurations: Index[] = [];

  get firstIndex(): Index {
    return this.#firstIndex;
  }

  get lastIndex(): Index {
    return this.#lastIndex;
  }

  get segments(): readonly StoredSegment[] {
    return this.#segments;
  }

  /** Places where the term changes that are remembered: what this grows with, besides segments. */
  get termChanges(): number {
    return this.#terms.size;
  }

  /** The indexes of the configurations in the log, ascending; changes with it. */
  get configurations(): readonly Index[] {
    return this.#configurations;
  }

  /** About how many bytes the entries after this one take: too many by as much as one mark is from the next. */
  bytesAfter(index: Index): number {
    let bytes = 0;
    for (let at = this.#segments.length - 1; at >= 0; at--) {
      const segment = this.#segments[at]!;
      if (segment.to <= index + 1) break;
      const isWhole = segment.from > index;
      bytes += segment.contentBytes - (isWhole ? segmentHeaderBytes : segment.offsetBefore(index + 1));
    }
    return bytes;
  }

  /** The term at an index of [firstIndex - 1, lastIndex], undefined outside. */
  term(index: Index): Term | undefined {
    if (index < this.#firstIndex - 1 || index > this.#lastIndex) return undefined;
    return this.#terms.term(index);
  }

  /**
   * `segment` is the newest: everything from its first index on is replaced by what it will hold. Segments that begin
   * after the group which it follows count no more, as at a start (chainOf): they are forgotten and returned.
   */
  beginSegment(segment: StoredSegment): StoredSegment[] {
    const { firstIndex, previousTerm, afterGroup } = segment.header;
    const standing = this.#segments.findLastIndex(({ header }) => header.firstGroup <= afterGroup) + 1;
    const replaced = this.#segments.splice(standing);
    if (this.#segments.length === 0 || firstIndex < this.#firstIndex) {
      // Nothing before it is left, and what its header remembers is the start of the log.
      this.#firstIndex = firstIndex;
      this.#terms = new TermTable(firstIndex, previousTerm);
      this.#configurations = [];
    } else {
      assert(firstIndex <= this.#lastIndex + 1, "a segment follows the log without a gap");
      this.#terms.truncate(firstIndex);
      while ((this.#configurations.at(-1) ?? 0) >= firstIndex) this.#configurations.pop();
    }
    for (let at = this.#segments.length - 1; at >= 0 && this.#segments[at]!.to > firstIndex; at--) {
      const older = this.#segments[at]!;
      older.to = firstIndex;
      older.from = Math.min(older.from, firstIndex);
    }
    this.#lastIndex = firstIndex - 1;
    this.#segments.push(segment);
    return replaced;
  }

  /** The next entry stands in the newest segment. */
  append({ index, term, kind }: Omit<Entry, "data">): void {
    assert(index === this.#lastIndex + 1, "entries follow each other without a gap");
    this.#lastIndex = index;
    this.#segments[this.#segments.length - 1]!.to = index + 1;
    this.#terms.append(index, term);
    if (kind === "config") this.#configurations.push(index);
  }

  /** Forgets the oldest segment and what stands in it, and returns it: the log begins with the next one. */
  dropFirst(): StoredSegment {
    assert(this.#segments.length > 1, "the newest segment is never dropped");
    const dropped = this.#segments.shift()!;
    this.#firstIndex = dropped.to;
    this.#terms.forgetBefore(dropped.to);
    const following = this.#configurations.findIndex((index) => index >= dropped.to);
    this.#configurations.splice(0, following < 0 ? this.#configurations.length : following);
    return dropped;
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
