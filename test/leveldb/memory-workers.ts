import type { Disk } from "../../src/env/disk.ts";
import type { Tables } from "../../src/env/tables.ts";
import type { Workers, WorkerThread } from "../../src/env/workers.ts";
import { Upkeep } from "../../src/leveldb/upkeep.ts";
import { assert } from "../../src/lib/assert.ts";

/** Every look at the clock of a worker is so long after the one before that a slice of work ends with it. */
const lookMs = 5;

/**
 * Workers in the test's own thread, which work when they are told to: one slice with `step`, all with `settle`, or by
 * themselves where there is somebody who runs things later.
 */
export class MemoryWorkers implements Workers {
  readonly #env: { readonly disk: Disk; readonly tables: Tables };
  readonly #later: ((run: () => void) => void) | undefined;
  readonly #threads: MemoryThread[] = [];

  constructor(env: { readonly disk: Disk; readonly tables: Tables }, later?: (run: () => void) => void) {
    this.#env = env;
    this.#later = later;
  }

  start(receive: (message: unknown) => void): WorkerThread {
    const thread = new MemoryThread(this.#env, receive, this.#later);
    this.#threads.push(thread);
    return thread;
  }

  /** A slice of each worker. Returns whether any had something to do. */
  step(): boolean {
    let isBusy = false;
    for (const thread of this.#threads) if (thread.step()) isBusy = true;
    return isBusy;
  }

  /** As if each worker had ended a slice of something long. */
  seemToWork(): void {
    for (const thread of this.#threads) thread.slices++;
  }

  /** Works until there is nothing more to do. */
  settle(): void {
    while (this.step());
  }
}

class MemoryThread implements WorkerThread {
  readonly #service: Upkeep;
  readonly #receive: (message: unknown) => void;
  readonly #later: ((run: () => void) => void) | undefined;
  /** What was posted and not told yet, and what was sent and not received. */
  readonly #inbox: unknown[] = [];
  readonly #outbox: unknown[] = [];
  slices = 0;
  #nowMs = 0;
  #isScheduled = false;
  #isEnded = false;

  constructor(
    env: { readonly disk: Disk; readonly tables: Tables },
    receive: (message: unknown) => void,
    later: ((run: () => void) => void) | undefined,
  ) {
    this.#receive = receive;
    this.#later = later;
    const clock = { ...env, monotonicMs: () => (this.#nowMs += lookMs) };
    // What goes from thread to thread is copied, as it is between real ones.
    this.#service = new Upkeep(clock, (report) => this.#outbox.push(structuredClone(report)));
  }

  post(message: unknown): void {
    assert(!this.#isEnded, "a worker that was ended is told nothing");
    this.#inbox.push(message);
    this.#schedule();
  }

  wait(): void {
    while (this.#outbox.length === 0 && this.#work());
    this.#deliver();
  }

  end(): boolean {
    for (const message of this.#inbox.splice(0)) this.#service.receive(message);
    this.#service.end();
    this.#isEnded = true;
    return true;
  }

  /** Returns whether there was something to do. */
  step(): boolean {
    if (this.#isEnded) return false;
    const isBusy = this.#work();
    const isTold = this.#outbox.length > 0;
    this.#deliver();
    return isBusy || isTold;
  }

  #work(): boolean {
    const messages = this.#inbox.splice(0);
    for (const message of messages) this.#service.receive(message);
    this.slices++;
    return this.#service.work() !== "idle" || messages.length > 0;
  }

  #deliver(): void {
    for (const message of this.#outbox.splice(0)) if (!this.#isEnded) this.#receive(message);
  }

  #schedule(): void {
    if (this.#later === undefined || this.#isScheduled) return;
    this.#isScheduled = true;
    this.#later(() => {
      this.#isScheduled = false;
      if (this.step()) this.#schedule();
    });
  }
}
