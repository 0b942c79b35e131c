/** A moment, and the last sequence number that had been written by then. */
interface Mark {
  readonly timeMs: number;
  readonly sequence: number;
}

/** The time that is kept is cut into so many parts: so much more than asked for is kept at the most. */
const marksMax = 64;

/**
 * How far back a store can be read: so many sequence numbers, or so much time, whichever is more. Time is that of the
 * writer's log, told along with the writes, so that all replicas agree. Marks live in memory: after a restart more is
 * kept, never less.
 */
export class History {
  readonly #sequences: number;
  readonly #ms: number;
  readonly #marks: Mark[] = [];
  #nowMs = 0;

  constructor(sequences: number, ms: number) {
    this.#sequences = sequences;
    this.#ms = ms;
  }

  get isKept(): boolean {
    return this.#sequences > 0 || this.#ms > 0;
  }

  /** It is this time, and the last write was this one. */
  advance(timeMs: number, sequence: number): void {
    if (this.#ms === 0 || timeMs <= this.#nowMs) return;
    this.#nowMs = timeMs;
    const last = this.#marks.at(-1);
    if (last === undefined || timeMs - last.timeMs >= this.#ms / marksMax)
      this.#marks.push({ timeMs, sequence });
    // The newest mark that is old enough is the floor; those before it say nothing more.
    while (this.#marks.length > 1 && this.#marks[1]!.timeMs <= timeMs - this.#ms) this.#marks.shift();
  }

  /** The oldest sequence number that is kept when the last one is `sequence`. */
  floorAt(sequence: number): number {
    if (!this.isKept) return sequence;
    const bySequence = this.#sequences > 0 ? sequence - this.#sequences : sequence;
    const byTime = this.#ms > 0 ? this.#floorByTime() : sequence;
    return Math.max(0, Math.min(bySequence, byTime));
  }

  #floorByTime(): number {
    const first = this.#marks[0];
    return first !== undefined && first.timeMs <= this.#nowMs - this.#ms ? first.sequence : 0;
  }
}
