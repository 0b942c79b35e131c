/**
 * The stops of an event loop, told by a timer of 1 ms that comes late. The same beat in a process that does nothing
 * tells what of it the machine takes.
 */
export interface Stops {
  readonly longestMs: number;
  readonly p999Ms: number;
}

/** [from, to] of `nowMs`, which all processes share. */
export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

const beatMs = 1;

export function nowMs(): number {
  return performance.timeOrigin + performance.now();
}

export class Heartbeat {
  /** When each beat came, and how late. */
  readonly #beats: number[] = [];
  readonly #late: number[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #beatAt = 0;

  start(): void {
    this.stop();
    this.#beatAt = nowMs();
    this.#schedule();
  }

  stop(): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  stopsIn(spans: readonly Span[]): Stops {
    const isIn = (ms: number) => spans.some(({ fromMs, toMs }) => ms >= fromMs && ms <= toMs);
    const late = this.#late.filter((_, at) => isIn(this.#beats[at]!)).sort((a, b) => a - b);
    return { longestMs: late.at(-1) ?? 0, p999Ms: late[Math.floor(late.length * 0.999)] ?? 0 };
  }

  #schedule(): void {
    this.#timer = setTimeout(() => {
      const ms = nowMs();
      this.#beats.push(ms);
      this.#late.push(Math.max(0, ms - this.#beatAt - beatMs));
      this.#beatAt = ms;
      this.#schedule();
    }, beatMs);
  }
}

/** Lets the event loop turn after each ms of work. */
export class Turns {
  #sinceMs = performance.now();

  async turn(): Promise<void> {
    if (performance.now() - this.#sinceMs < beatMs) return;
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.#sinceMs = performance.now();
  }
}
