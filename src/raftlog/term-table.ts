import { assert } from "../lib/assert.ts";
import type { Index, Term } from "../raft/types.ts";

/** The term of each entry, as the places where it changes: grows with elections, never with the log. */
export class TermTable {
  /** Ascending; `#terms[i]` holds from `#starts[i]` to the next start. */
  readonly #starts: Index[];
  readonly #terms: Term[];

  /** `previousTerm` is that of the entry before `firstIndex`, which is remembered though the entry is gone. */
  constructor(firstIndex: Index, previousTerm: Term) {
    this.#starts = [firstIndex - 1];
    this.#terms = [previousTerm];
  }

  /** How many changes are held. */
  get size(): number {
    return this.#starts.length;
  }

  /** `index` is one after the last. */
  append(index: Index, term: Term): void {
    if (this.#terms[this.#terms.length - 1] === term) return;
    this.#starts.push(index);
    this.#terms.push(term);
  }

  /** Forgets everything from `from` on. */
  truncate(from: Index): void {
    assert(from > this.#starts[0]!, "the entry before the log's start is never replaced");
    while (this.#starts[this.#starts.length - 1]! >= from) {
      this.#starts.pop();
      this.#terms.pop();
    }
  }

  /** Forgets all before the entry `firstIndex - 1`, which becomes the one before the log; its own term stays. */
  forgetBefore(firstIndex: Index): void {
    const previousTerm = this.term(firstIndex - 1);
    const following = this.#starts.findIndex((start) => start >= firstIndex);
    const forgotten = following < 0 ? this.#starts.length : following;
    this.#starts.splice(0, forgotten, firstIndex - 1);
    this.#terms.splice(0, forgotten, previousTerm);
  }

  /** `index` lies between the entry before the log and its last one. */
  term(index: Index): Term {
    let low = 0;
    let high = this.#starts.length - 1;
    // Nearly every question is about the end of the log.
    if (this.#starts[high]! <= index) return this.#terms[high]!;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.#starts[middle]! <= index) low = middle;
      else high = middle - 1;
    }
    return this.#terms[low]!;
  }
}
