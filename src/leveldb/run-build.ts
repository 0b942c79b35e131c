import type { WorkerEnv } from "../env/workers.ts";
import { DecodeError } from "../lib/codec.ts";
import { corruption } from "./corruption.ts";
import { runPath } from "./folder-names.ts";
import type { KeySample } from "./key-sample.ts";
import type { TableFile } from "./manifest.ts";
import { Merge, type MergeRules } from "./merge.ts";
import type { RowSource } from "./row-source.ts";
import { TableWriter } from "./table-writer.ts";

/** Keys that are moved before the clock is looked at again. */
const keysPerLook = 128;
/** A slice of work, in ms: then orders are listened to. */
const sliceMs = 4;

export interface RunBuildOptions {
  readonly folder: string;
  readonly newestFirst: readonly RowSource[];
  readonly rules: MergeRules;
  readonly tableBytesMax: number;
  /** One file at the most, and of so many keys at the most; what is left is `nextKey`. */
  readonly keysMax: number;
  readonly filesMax: number;
  readonly nextNumber: () => number;
  /** Told of each file when it is complete. */
  readonly built: (file: TableFile) => void;
  /** What the sources are called in an error. */
  readonly what: string;
}

/**
 * Sources on their way into files, in slices. The content of the files is durable at the end, their names are
 * not.
 */
export class RunBuild {
  readonly outputs: { readonly file: TableFile; readonly sample: KeySample }[] = [];
  readonly #env: WorkerEnv;
  readonly #options: RunBuildOptions;
  readonly #merge: Merge;
  #writer: TableWriter | undefined;
  #path = "";
  #keys = 0;

  constructor(env: WorkerEnv, options: RunBuildOptions) {
    this.#env = env;
    this.#options = options;
    this.#merge = this.#describing(() => new Merge(options.newestFirst, options.rules));
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
    this.#writer?.abandon();
    this.#writer = undefined;
  }

  get #isOver(): boolean {
    const { filesMax, keysMax } = this.#options;
    return this.#merge.isDone || this.#keys >= keysMax || this.outputs.length >= filesMax;
  }

  #step(): void {
    this.#keys++;
    this.#describing(() => this.#merge.step(this));
    if (this.#writer !== undefined && this.#writer.bytes >= this.#options.tableBytesMax) this.#endFile();
  }

  /** For the merge: begins a file when there is a first row for it. */
  add(bytes: Uint8Array, keyStart: number, keyEnd: number, recordEnd: number, sequence: number): void {
    this.#writer ??= this.#beginFile();
    this.#writer.add(bytes, keyStart, keyEnd, recordEnd, sequence);
  }

  #beginFile(): TableWriter {
    const number = this.#options.nextNumber();
    this.#path = runPath(this.#options.folder, number);
    return new TableWriter(number, this.#env.tables.begin(this.#path));
  }

  #endFile(): void {
    const { sample, ...file } = this.#writer!.finish();
    this.#writer = undefined;
    const onDisk = this.#env.disk.open(this.#path, "read");
    try {
      this.outputs.push({ file: { ...file, bytes: onDisk.size() }, sample });
    } finally {
      onDisk.close();
    }
    this.#options.built(this.outputs.at(-1)!.file);
  }

  #end(): boolean {
    if (this.#writer !== undefined) this.#endFile();
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
