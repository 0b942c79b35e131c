import { assert } from "../lib/assert.ts";
import type { Cursor } from "./cursor.ts";
import type { Memtable } from "./memtable.ts";
import type { Run } from "./run.ts";
import { RunCursor } from "./run-cursor.ts";

/**
 * The state of the store at one moment: what its memtable held then, and the runs below. It holds both until it is
 * released, whatever is flushed, merged and written meanwhile, so that a reader needs to know of none of it.
 */
export class View {
  readonly sequence: number;
  readonly memtable: Memtable;
  readonly stamp: number;
  /** Newest first. */
  readonly runs: readonly Run[];
  #isReleased = false;

  /** The state of now. */
  static take(memtable: Memtable, runs: readonly Run[], sequence: number): View {
    return new View(memtable, memtable.pin(), runs, sequence);
  }

  private constructor(memtable: Memtable, stamp: number, runs: readonly Run[], sequence: number) {
    this.memtable = memtable;
    this.stamp = stamp;
    this.runs = runs;
    this.sequence = sequence;
    for (const run of runs) run.hold();
  }

  get isReleased(): boolean {
    return this.#isReleased;
  }

  /** Another hold on the same state. */
  share(): View {
    assert(!this.#isReleased, "a released view is not shared");
    this.memtable.pinAgain(this.stamp);
    return new View(this.memtable, this.stamp, this.runs, this.sequence);
  }

  /** One cursor per layer, newest first. */
  cursors(): Cursor[] {
    return [this.memtable.cursor(this.stamp), ...this.runs.map((run) => new RunCursor(run))];
  }

  release(): void {
    assert(!this.#isReleased, "a view is released once");
    this.#isReleased = true;
    this.memtable.unpin(this.stamp);
    for (const run of this.runs) run.release();
  }
}
