import { assert } from "../lib/assert.ts";
import type { Bytes } from "../lib/bytes.ts";
import type { Cursor } from "./cursor.ts";
import type { Memtable } from "./memtable.ts";
import type { Version } from "./memtable-entry.ts";
import type { Run } from "./run.ts";
import { RunCursor } from "./run-cursor.ts";

/** A memtable as it was when it was pinned. */
interface Pinned {
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
    for (const run of runs) run.hold();
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

  /** The versions of a key in memory, one per memtable that has it, newest first. */
  versions(key: Bytes): Version[] {
    const versions: Version[] = [];
    for (const { memtable, stamp } of this.memory) {
      const version = memtable.visible(key, stamp);
      if (version !== undefined) versions.push(version);
    }
    return versions;
  }

  /** One cursor per layer, newest first. */
  cursors(): Cursor[] {
    return [
      ...this.memory.map(({ memtable, stamp }) => memtable.cursor(stamp)),
      ...this.runs.map((run) => new RunCursor(run)),
    ];
  }

  release(): void {
    assert(!this.#isReleased, "a view is released once");
    this.#isReleased = true;
    for (const { memtable, stamp } of this.memory) memtable.unpin(stamp);
    for (const run of this.runs) run.release();
  }
}
