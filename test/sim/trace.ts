/** Events that are kept for the story of a failure. */
const eventsMax = 400;

interface TraceEvent {
  readonly atMs: number;
  readonly line: string | (() => string);
}

/** The last events of a run, as lines that are made only when somebody wants to read them. */
export class Trace {
  readonly #events: TraceEvent[] = [];
  readonly #nowMs: () => number;
  #count = 0;
  /** Told each event as it happens, for a replay that prints everything. */
  onLine: ((line: string) => void) | undefined;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** How many events there were: two runs of one seed that differ mostly differ in this. */
  get count(): number {
    return this.#count;
  }

  add(line: string | (() => string)): void {
    const event = { atMs: this.#nowMs(), line };
    this.#events[this.#count++ % eventsMax] = event;
    this.onLine?.(describe(event));
  }

  /** The last `most` events, oldest first. */
  last(most: number): string[] {
    const from = Math.max(0, this.#count - Math.min(most, eventsMax));
    const lines: string[] = [];
    for (let at = from; at < this.#count; at++) lines.push(describe(this.#events[at % eventsMax]!));
    return lines;
  }
}

function describe({ atMs, line }: TraceEvent): string {
  return `${atMs.toFixed(2).padStart(10)}  ${typeof line === "string" ? line : line()}`;
}
