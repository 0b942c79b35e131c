import type { Clock } from "../env/clock.ts";

/** A connection whose input waits for the next turn. */
export interface Reader {
  /** Takes up what waits, until it is done or the turn is over; then it has itself put in line again. */
  readOn(): void;
}

export interface ReadTurnOptions {
  readonly ms: number;
  readonly bytesMax: number;
  /** Whether many requests were read and are not done yet: to read more would only make all of them wait longer. */
  readonly isBehind: () => boolean;
}

/**
 * How much of their clients' input a node looks at in one turn of the event loop: so much time, and so many bytes. What is
 * left waits in line, the connection that came first is the first again, and whatever else the process has to do comes in
 * between: heartbeats, timers, writes. So no client, and no number of them, keeps a leader from saying that it lives.
 */
export class ReadTurns {
  readonly #clock: Clock;
  readonly #turnMs: number;
  readonly #bytesMax: number;
  readonly #isBehind: () => boolean;
  #hasBegun = false;
  #untilMs = 0;
  #bytes = 0;
  /** Pieces of input until the clock is read again. */
  #untilLook = 0;
  /** From `#head` on. */
  readonly #line: Reader[] = [];
  #head = 0;

  constructor(clock: Clock, options: ReadTurnOptions) {
    this.#clock = clock;
    this.#turnMs = options.ms;
    this.#bytesMax = options.bytesMax;
    this.#isBehind = options.isBehind;
  }

  /** Whether a piece of input may be looked at in this turn, and counts it then; the clock is not read for each piece. */
  take(bytes: number): boolean {
    const mayTake =
      --this.#untilLook <= 0 ? this.mayGoOn() : this.#bytes < this.#bytesMax && !this.#isBehind();
    if (mayTake) this.#bytes += bytes;
    return mayTake;
  }

  /** Whether there is time left in this turn. */
  mayGoOn(): boolean {
    if (!this.#hasBegun) this.#begin();
    if (this.#bytes >= this.#bytesMax || this.#isBehind()) return false;
    const isOver = this.#clock.monotonicMs() >= this.#untilMs;
    this.#untilLook = isOver ? 0 : piecesPerLook;
    return !isOver;
  }

  /** Nobody may overtake those that are in line. */
  get hasLine(): boolean {
    return this.#line.length > this.#head;
  }

  /** The reader is called in a later turn. */
  lineUp(reader: Reader): void {
    if (!this.#hasBegun) this.#begin();
    this.#line.push(reader);
  }

  #begin(): void {
    this.#hasBegun = true;
    this.#bytes = 0;
    this.#untilMs = this.#clock.monotonicMs() + this.#turnMs;
    this.#clock.soon(this.#end);
  }

  readonly #end = (): void => {
    this.#hasBegun = false;
    this.#untilLook = 0;
    // A reader that has had its share while others wait stands behind them again.
    while (this.hasLine && this.mayGoOn()) this.#next().readOn();
    if (this.hasLine && !this.#hasBegun) this.#begin();
  };

  #next(): Reader {
    const reader = this.#line[this.#head++]!;
    if (this.#head < headMax && this.#head < this.#line.length) return reader;
    this.#line.splice(0, this.#head);
    this.#head = 0;
    return reader;
  }
}

/** Reading the clock costs a part of what the smallest request does. */
const piecesPerLook = 4;

/** Readers that left the line leave the array in bulk. */
const headMax = 1024;
