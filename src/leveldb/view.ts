import { assert } from "../lib/assert.ts";
import type { Cursor } from "./cursor.ts";
import type { Memtable } from "./memtable.ts";
import { MemtableCursor } from "./memtable-cursor.ts";
import type { Run } from "./run.ts";
import { RunCursor } from "./run-cursor.ts";

/** A memtable as it was when it was pinned. */
export interface Pinned {
  readonly memtable: Memtable;
  readonly stamp: number;
}

/**
 * The state of the store at one moment: what its memtables held then, and the runs below. It holds all of them until
 * it is released, whatever is flushed, merged and written meanwhile, so that a reader needs to know of none of it.
 */
export class View {
  readonly sequence: number;
  /** Newest first, like the runs. */
  readonly memory: readonly Pinned[];
  readonly runs: readonly Run[];
  #isReleased = false;

  /** The state of now. */
  static take(memtables: readonly Memtable[], runs: readonly Run[], sequence: number): View {
    const memory = memtables.map((memtable) => ({ memtable, stamp: memtable.pin() }));
    return new View(memory, runs, sequence);
  }

  private constructor(memory: readonly Pinned[], runs: readonly Run[], sequence: number) {
    this.memory = memory;
    this.runs = runs;
    this.sequence = sequence;
    for (const run of runs) for (const { table } of run.parts) table.hold();
  }

  get isReleased(): boolean {
    return this.#isReleased;
  }

  /** Another hold on the same state. */
  share(): View {
    assert(!this.#isReleased, "a released view is not shared");
    for (const { memtable, stamp } of this.memory) memtable.pinAgain(stamp);
    return new View(this.memory, this.runs, this.sequence);
  }

  /** One cursor per layer, newest first, over what was there at a sequence number. */
  cursors(sequence: number): Cursor[] {
    return [
      ...this.memory.map(({ memtable, stamp }) => new MemtableCursor(memtable, stamp, sequence)),
      ...this.runs.map((run) => new RunCursor(run, sequence)),
    ];
  }

  release(): void {
    assert(!this.#isReleased, "a view is released once");
    this.#isReleased = true;
    for (const { memtable, stamp } of this.memory) memtable.unpin(stamp);
    for (const run of this.runs) for (const { table } of run.parts) table.release();
  }
}
