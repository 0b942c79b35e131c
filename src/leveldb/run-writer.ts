import type { WorkerEnv } from "../env/workers.ts";
import type { Bytes } from "../lib/bytes.ts";
import { runPath } from "./folder-names.ts";
import type { KeySample } from "./key-sample.ts";
import type { TableFile } from "./manifest.ts";
import type { RowSink } from "./merge.ts";
import { TableWriter } from "./table-writer.ts";

/** A complete file, and what its worker keeps in mind of it. */
export interface BuiltFile {
  readonly file: TableFile;
  readonly sample: KeySample;
}

export interface RunWriterOptions {
  readonly folder: string;
  readonly nextNumber: () => number;
  /** Told of each file when it is complete. */
  readonly built: (file: TableFile) => void;
}

/** Rows that come in order, on their way into files. The content of complete files is durable, their names are not. */
export class RunWriter implements RowSink {
  readonly outputs: BuiltFile[] = [];
  readonly #env: WorkerEnv;
  readonly #options: RunWriterOptions;
  #writer: TableWriter | undefined;
  #path = "";

  constructor(env: WorkerEnv, options: RunWriterOptions) {
    this.#env = env;
    this.#options = options;
  }

  /** Of the file at hand, so far. */
  get fileBytes(): number {
    return this.#writer?.bytes ?? 0;
  }

  /** Begins a file when there is a first row for it. See TableWriter.add. */
  add(bytes: Bytes, keyStart: number, keyEnd: number, recordEnd: number, sequence: number): void {
    this.#writer ??= this.#beginFile();
    this.#writer.add(bytes, keyStart, keyEnd, recordEnd, sequence);
  }

  /** Completes the file at hand, if there is one. */
  endFile(): void {
    if (this.#writer === undefined) return;
    const { sample, ...file } = this.#writer.finish();
    this.#writer = undefined;
    const onDisk = this.#env.disk.open(this.#path, "read");
    try {
      this.outputs.push({ file: { ...file, bytes: onDisk.size() }, sample });
    } finally {
      onDisk.close();
    }
    this.#options.built(this.outputs.at(-1)!.file);
  }

  /** Removes the file at hand. */
  abandon(): void {
    this.#writer?.abandon();
    this.#writer = undefined;
  }

  #beginFile(): TableWriter {
    const number = this.#options.nextNumber();
    this.#path = runPath(this.#options.folder, number);
    return new TableWriter(number, this.#env.tables.begin(this.#path));
  }
}
