import type { Row } from "../env/tables.ts";
import { assert } from "../lib/assert.ts";
import { DecodeError } from "../lib/codec.ts";
import { corruption } from "./corruption.ts";
import type { Applied } from "./manifest.ts";
import type { Memtable } from "./memtable.ts";
import { mergeRows } from "./merge.ts";
import { pickMerge } from "./merge-policy.ts";
import type { Run } from "./run.ts";
import { RunBuilder } from "./run-builder.ts";
import type { RunFolder } from "./run-folder.ts";

/** A memtable that nobody writes to any more, and the state that the store had when it was sealed. */
export interface Sealed {
  readonly memtable: Memtable;
  readonly sequence: number;
  readonly applied: Applied;
}

/** A merge under way. It knows its inputs by themselves, not by their places: flushes add runs meanwhile. */
interface Merge {
  readonly inputs: readonly Run[];
  readonly builder: RunBuilder;
}

/**
 * The flush of the sealed memtable and the merge of runs, at most one of each, done in slices of a few ms while the
 * store is read and written. A slice changes what readers see in one step or not at all: runs appear, and what they
 * replace goes, when MANIFEST says so. After a failure nothing more is tried.
 */
export class Upkeep {
  readonly #folder: RunFolder;
  readonly #runsMax: number;
  #sealed: Sealed | undefined;
  #flush: RunBuilder | undefined;
  #merge: Merge | undefined;
  /** The merge that comes next: the inputs. */
  #due: readonly Run[] | undefined;
  /** Writes that never pause would leave no time for merges, and reads would look into ever more runs. */
  #isMergeTurn = false;
  /** The first failure. What is on disk is not known since. */
  #failure: unknown;

  constructor(folder: RunFolder, runsMax: number) {
    this.#folder = folder;
    this.#runsMax = runsMax;
    this.#plan();
  }

  get sealed(): Sealed | undefined {
    return this.#sealed;
  }

  /** Whether `work` would do something now. While a file is synced there may be work left, but nothing to do. */
  get hasWork(): boolean {
    if (this.#failure !== undefined) return false;
    if (this.#sealed !== undefined && this.#flush?.isWaiting !== true) return true;
    return this.#canMerge;
  }

  seal(sealed: Sealed): void {
    assert(this.#sealed === undefined, "one memtable is sealed at a time");
    if (this.#failure !== undefined) throw this.#failure;
    this.#sealed = sealed;
  }

  /** One slice: of the flush, or of a merge while the flush has nothing to do, or in turns while runs are many. */
  work(rowsMax: number): void {
    this.#guard(() => {
      const sealed = this.#flush?.isWaiting === true ? undefined : this.#sealed;
      if (sealed === undefined || (this.#isMergeTurn && this.#canMerge)) {
        this.#isMergeTurn = false;
        this.#mergeSome(rowsMax);
      } else {
        this.#isMergeTurn = this.#folder.runs.length > this.#runsMax;
        this.#flushSome(sealed, rowsMax);
      }
    });
  }

  /** Finishes the flush at once. */
  flushNow(): void {
    this.#guard(() => {
      if (this.#sealed === undefined) return;
      this.#flush ??= this.#beginFlush(this.#sealed);
      this.#flush.finishNow();
      this.#installFlush(this.#sealed, this.#flush);
    });
  }

  /** Finishes the merge under way, and does all that are due after it. */
  mergeNow(): void {
    this.#guard(() => {
      for (;;) {
        const merge = this.#merge ?? this.#beginMerge();
        if (merge === undefined) return;
        describingDamage(merge.inputs, () => merge.builder.finishNow());
        this.#installMerge(merge);
      }
    });
  }

  /** Drops what is under way. Files that stay behind are removed at the next open. */
  abandon(): void {
    this.#flush?.abandon();
    this.#merge?.builder.abandon();
    this.#flush = undefined;
    this.#merge = undefined;
    this.#due = undefined;
  }

  get #canMerge(): boolean {
    return this.#merge === undefined ? this.#due !== undefined : !this.#merge.builder.isWaiting;
  }

  #flushSome(sealed: Sealed, rowsMax: number): void {
    if (this.#flush === undefined) {
      if (sealed.memtable.sortSome()) return;
      this.#flush = this.#beginFlush(sealed);
    }
    if (this.#flush.isDurable) this.#installFlush(sealed, this.#flush);
    else this.#flush.step(rowsMax);
  }

  #mergeSome(rowsMax: number): void {
    const merge = this.#merge ?? this.#beginMerge();
    if (merge === undefined || merge.builder.isWaiting) return;
    if (merge.builder.isDurable) this.#installMerge(merge);
    else describingDamage(merge.inputs, () => merge.builder.step(rowsMax));
  }

  #beginFlush({ memtable }: Sealed): RunBuilder {
    // Stays true until the run is there: without runs there is no merge that could bring one.
    const isBottom = this.#folder.runs.length === 0;
    return this.#build([memtable.rows()], isBottom);
  }

  #beginMerge(): Merge | undefined {
    const inputs = this.#due;
    if (inputs === undefined) return undefined;
    this.#due = undefined;
    // Stays true to the end: what is added meanwhile is newer.
    const isBottom = this.#folder.runs.at(-1) === inputs.at(-1);
    const builder = describingDamage(inputs, () =>
      this.#build(
        inputs.map((run) => run.rows()),
        isBottom,
      ),
    );
    this.#merge = { inputs, builder };
    return this.#merge;
  }

  #build(layers: readonly Iterable<Row>[], isBottom: boolean): RunBuilder {
    return new RunBuilder(mergeRows(layers, [], isBottom), this.#folder);
  }

  #installFlush({ sequence, applied }: Sealed, flush: RunBuilder): void {
    this.#folder.add(flush.output(), sequence, applied);
    this.#sealed = undefined;
    this.#flush = undefined;
    this.#plan();
  }

  #installMerge({ inputs, builder }: Merge): void {
    this.#folder.replace(inputs, builder.output());
    this.#merge = undefined;
    this.#plan();
  }

  #plan(): void {
    if (this.#merge !== undefined) return;
    const { runs } = this.#folder;
    const sizes = runs.map((run) => run.file.bytes);
    const range = pickMerge(sizes, this.#runsMax);
    this.#due = range && runs.slice(range.from, range.to);
  }

  #guard(change: () => void): void {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      change();
    } catch (error) {
      this.#failure = error;
      this.abandon();
      throw error;
    }
  }
}

/** Which run a bad record came from is not known any more when the merge finds it. */
function describingDamage<T>(inputs: readonly Run[], run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    const paths = inputs.map((input) => `"${input.path}"`).join(", ");
    throw corruption(`merge runs ${paths}`, `one of them is damaged (${error.message})`, error);
  }
}
