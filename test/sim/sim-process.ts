import type { Clock, Timer } from "../../src/env/clock.ts";
import type { Timeline } from "./timeline.ts";

/** The moment of virtual time 0, in ms since 1970. */
export const epochMs = 1_700_000_000_000;

export interface SimProcessOptions {
  readonly name: string;
  /** Its clock runs so many times as fast as virtual time. [1] */
  readonly clockRate?: number;
  /** How far its wall clock is off, in ms. [0] */
  readonly skewMs?: number;
  /** [false] */
  readonly isThread?: boolean;
  /** What a look at the clock costs, in ms: so work that is bounded by time ends. [0.02] */
  readonly lookMs?: number;
}

/**
 * One life of one process: what happens in it stops at its death. Work takes time: a look at the clock, a sync. While it is busy, and
 * while it is paused (SIGSTOP, a stalled virtual machine), what it was told waits, and the clock runs on.
 */
export class SimProcess implements Clock {
  readonly name: string;
  #busyUntilMs = 0;
  /** How far its wall clock is off now, in ms. */
  skewMs: number;
  #isAlive = true;
  /** Whether it is a thread beside the event loop of a process. */
  readonly isThread: boolean;
  readonly #threads: SimProcess[] = [];
  readonly #timeline: Timeline;
  readonly #rate: number;
  readonly #lookMs: number;
  readonly #bornMs: number;

  constructor(timeline: Timeline, options: SimProcessOptions) {
    this.#timeline = timeline;
    this.name = options.name;
    this.isThread = options.isThread ?? false;
    this.skewMs = options.skewMs ?? 0;
    this.#rate = options.clockRate ?? 1;
    this.#lookMs = options.lookMs ?? 0.02;
    this.#bornMs = timeline.nowMs;
  }

  /** Nothing happens in it before this moment, which never comes sooner than it was said: what waits keeps its order. */
  get busyUntilMs(): number {
    return this.#busyUntilMs;
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  /** Where this process stands in virtual time: ahead of the timeline by the work that it did since its event began. */
  get nowMs(): number {
    return Math.max(this.#timeline.nowMs, this.#busyUntilMs);
  }

  /** It works, or stands still, for so long. */
  spend(ms: number): void {
    this.#busyUntilMs = this.nowMs + ms;
  }

  /** The process stands still with all its threads. */
  pause(ms: number): void {
    for (const one of [this, ...this.#threads]) one.spend(ms);
  }

  /** It stands still until the other has come as far. */
  waitFor(other: SimProcess): void {
    this.#busyUntilMs = Math.max(this.#busyUntilMs, other.nowMs);
  }

  /** Another thread of this process: it works by itself, and dies with it. */
  thread(name: string): SimProcess {
    const thread = new SimProcess(this.#timeline, {
      name: `${this.name} ${name}`,
      clockRate: this.#rate,
      lookMs: this.#lookMs,
      isThread: true,
    });
    this.#threads.push(thread);
    return thread;
  }

  die(): void {
    this.#isAlive = false;
    for (const thread of this.#threads) thread.die();
  }

  monotonicMs(): number {
    this.spend(this.#lookMs);
    return (this.nowMs - this.#bornMs) * this.#rate;
  }

  wallMs(): number {
    return epochMs + Math.floor(this.nowMs) + this.skewMs;
  }

  after(ms: number, run: () => void): Timer {
    return this.#timeline.at(this.nowMs + ms / this.#rate, this, run);
  }

  soon(run: () => void): void {
    this.#timeline.at(this.nowMs, this, run);
  }
}
