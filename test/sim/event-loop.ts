import { assert } from "../../src/lib/assert.ts";
import { PowerCut } from "./sim-disk.ts";
import type { Timeline } from "./timeline.ts";

/** More events mean that something goes round in circles. */
const eventsMax = 5_000_000;

/** Lets virtual time go on for so long, or until something is the case. */
export class EventLoop {
  events = 0;
  readonly #timeline: Timeline;
  readonly #describe: () => string;
  /** What ended the run from inside of a callback. */
  #fault: Error | undefined;

  /** `describe` tells how everybody is, when something does not come about. */
  constructor(timeline: Timeline, describe: () => string) {
    this.#timeline = timeline;
    this.#describe = describe;
  }

  /** The run ends after the event that is under way. */
  fail(reason: string): void {
    this.#fault ??= new Error(reason);
  }

  runFor(ms: number): void {
    const untilMs = this.#timeline.nowMs + ms;
    while (this.#timeline.nextMs <= untilMs && this.#runNext());
  }

  /** Throws when it takes longer. */
  until(what: string, msMax: number, condition: () => boolean): void {
    const limitMs = this.#timeline.nowMs + msMax;
    while (!condition()) {
      if (this.#timeline.nowMs > limitMs)
        assert(false, `${what}, within ${msMax} ms of virtual time; ${this.#describe()}`);
      assert(this.#runNext(), "time goes on");
    }
  }

  #runNext(): boolean {
    assert(++this.events <= eventsMax, `a run has fewer than ${eventsMax} events`);
    const hasRun = this.#runOne();
    if (this.#fault !== undefined) throw this.#fault;
    return hasRun;
  }

  /** An event that a power cut ends in the middle is over. */
  #runOne(): boolean {
    try {
      return this.#timeline.runNext();
    } catch (error) {
      if (!(error instanceof PowerCut)) throw error;
      return true;
    }
  }
}
