import { drainMicrotasks } from "bun:jsc";
import type { SimProcess } from "./sim-process.ts";

/** Something that happens at a moment of virtual time; `cancel` is idempotent and harmless after it ran. */
export interface SimEvent {
  atMs: number;
  readonly order: number;
  readonly owner: SimProcess | undefined;
  run: (() => void) | undefined;
  cancel(): void;
}

/**
 * Virtual time: a queue of events in the order of their time, then of their making. Nothing else runs anything, so one
 * seed gives one history. An event of a process that is dead never runs; one of a process that is busy or paused
 * waits until it is not, and keeps its place in the order.
 */
export class Timeline {
  #nowMs = 0;
  #order = 0;
  #running: SimProcess | undefined;
  /** A binary heap, the next event first. */
  readonly #heap: Event[] = [];

  get nowMs(): number {
    return this.#nowMs;
  }

  /** A number that ascends with every call and every event: tells what came before what, also within one moment. */
  stamp(): number {
    return ++this.#order;
  }

  /** Runs `run` once at `atMs`, or now if that has passed; `owner` is the process it happens in, if it is one's own. */
  at(atMs: number, owner: SimProcess | undefined, run: () => void): SimEvent {
    const event = new Event(Math.max(atMs, this.#nowMs), ++this.#order, owner, run);
    this.#push(event);
    return event;
  }

  after(ms: number, owner: SimProcess | undefined, run: () => void): SimEvent {
    return this.at(this.#nowMs + ms, owner, run);
  }

  /** The process in which something happens at this moment. */
  get running(): SimProcess | undefined {
    return this.#running;
  }

  /** The time of the next event, Infinity when there is none. */
  get nextMs(): number {
    return this.#heap[0]?.atMs ?? Number.POSITIVE_INFINITY;
  }

  /** Runs the next event and all that promises lead to. False when there is none. */
  runNext(): boolean {
    for (let event = this.#pop(); event !== undefined; event = this.#pop()) {
      const { owner, run } = event;
      if (run === undefined || owner?.isAlive === false) continue;
      if (owner !== undefined && owner.busyUntilMs > event.atMs) {
        event.atMs = owner.busyUntilMs;
        this.#push(event);
        continue;
      }
      this.#nowMs = event.atMs;
      event.run = undefined;
      this.#running = owner;
      run();
      drainMicrotasks();
      this.#running = undefined;
      return true;
    }
    return false;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(event, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): Event | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

class Event implements SimEvent {
  atMs: number;
  readonly order: number;
  readonly owner: SimProcess | undefined;
  run: (() => void) | undefined;

  constructor(atMs: number, order: number, owner: SimProcess | undefined, run: () => void) {
    this.atMs = atMs;
    this.order = order;
    this.owner = owner;
    this.run = run;
  }

  cancel(): void {
    this.run = undefined;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
