import type { WorkerEnv } from "../env/workers.ts";
import { DecodeError } from "../lib/codec.ts";
import { corruption } from "./corruption.ts";
import { Merge, type MergeRules } from "./merge.ts";
import type { RowSource } from "./row-source.ts";
import { type BuiltFile, RunWriter, type RunWriterOptions } from "./run-writer.ts";

/** Keys that are moved before the clock is looked at again. */
const keysPerLook = 128;
/** A slice of work, in ms: then orders are listened to. */
const sliceMs = 4;

export interface RunBuildOptions extends RunWriterOptions {
  readonly newestFirst: readonly RowSource[];
  readonly rules: MergeRules;
  readonly tableBytesMax: number;
  /** One file at the most, and of so many keys at the most; what is left is `nextKey`. */
  readonly keysMax: number;
  readonly filesMax: number;
  /** What the sources are called in an error. */
  readonly what: string;
}

/**
 * Sources on their way into files, in slices. The content of the files is durable at the end, their names are
 * not.
 */
export class RunBuild {
  readonly #env: WorkerEnv;
  readonly #options: RunBuildOptions;
  readonly #merge: Merge;
  readonly #writer: RunWriter;
  #keys = 0;

  constructor(env: WorkerEnv, options: RunBuildOptions) {
    this.#env = env;
    this.#options = options;
    this.#writer = new RunWriter(env, options);
    this.#merge = this.#describing(() => new Merge(options.newestFirst, options.rules));
  }

  get outputs(): readonly BuiltFile[] {
    return this.#writer.outputs;
  }

  /** Where it has stopped; undefined when all keys were moved. */
  nextKey() {
    return this.#merge.nextKey();
  }

  /** Moves keys for some ms. Returns whether that was all it may do. */
  work(): boolean {
    const untilMs = this.#env.monotonicMs() + sliceMs;
    do {
      for (let count = 0; count < keysPerLook; count++) {
        if (this.#isOver) return this.#end();
        this.#step();
      }
    } while (this.#env.monotonicMs() < untilMs);
    return false;
  }

  abandon(): void {
    this.#writer.abandon();
  }

  get #isOver(): boolean {
    const { filesMax, keysMax } = this.#options;
    return this.#merge.isDone || this.#keys >= keysMax || this.outputs.length >= filesMax;
  }

  #step(): void {
    this.#keys++;
    this.#describing(() => this.#merge.step(this.#writer));
    if (this.#writer.fileBytes >= this.#options.tableBytesMax) this.#writer.endFile();
  }

  #end(): boolean {
    this.#writer.endFile();
    return true;
  }

  /** Which file a bad record came from is not known any more when the merge finds it. */
  #describing<T>(run: () => T): T {
    try {
      return run();
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      throw corruption(`merge ${this.#options.what}`, `one of them is damaged (${error.message})`, error);
    }
  }
}
