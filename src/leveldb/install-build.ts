import type { WorkerEnv } from "../env/workers.ts";
import type { Bytes } from "../lib/bytes.ts";
import { DecodeError } from "../lib/codec.ts";
import type { InstallReport, InstallState } from "./install-messages.ts";
import { RowChunk } from "./row-chunk.ts";
import { type BuiltFile, RunWriter } from "./run-writer.ts";

/** Rows that are moved before the clock is looked at again. */
const rowsPerLook = 128;
/** A slice of work, in ms: then orders are listened to. */
const sliceMs = 4;
/**
 * A file is a part of all that was taken before, at the least, so that a store of any size has few files: 110 of them
 * hold 3 GB.
 */
const filePartOfAll = 32;

export interface InstallBuildOptions {
  readonly install: number;
  readonly folder: string;
  readonly tableBytesMax: number;
  readonly nextNumber: () => number;
  readonly send: (report: InstallReport) => void;
}

/** The worker's side of an install: chunks of rows on their way into the files of a new run, in slices. */
export class InstallBuild {
  readonly install: number;
  readonly #env: WorkerEnv;
  readonly #options: InstallBuildOptions;
  readonly #writer: RunWriter;
  readonly #chunks: Bytes[] = [];
  /** The first chunk, as far as it was read. */
  #rows: RowChunk | undefined;
  #lastKey: Bytes | undefined;
  #chunksTaken = 0;
  #filesBytes = 0;
  #sequenceMax = 0;
  #state: InstallState | undefined;

  constructor(env: WorkerEnv, options: InstallBuildOptions) {
    this.install = options.install;
    this.#env = env;
    this.#options = options;
    const { folder, nextNumber, install, send } = options;
    this.#writer = new RunWriter(env, {
      folder,
      nextNumber,
      built: (file) => {
        this.#filesBytes += file.bytes;
        send({ step: "built", install, file });
      },
    });
  }

  get outputs(): readonly BuiltFile[] {
    return this.#writer.outputs;
  }

  /** Whether all rows are here. */
  get isFinishing(): boolean {
    return this.#state !== undefined;
  }

  get hasWork(): boolean {
    return this.#chunks.length > 0 || this.isFinishing;
  }

  add(rows: Bytes): void {
    this.#chunks.push(rows);
  }

  finish(state: InstallState): void {
    this.#state = state;
  }

  /**
   * Moves rows for some ms. Returns the state when all of them are in files. Throws DecodeError for rows that are
   * not as they should be: then only `abandon` may follow.
   */
  work(): InstallState | undefined {
    const untilMs = this.#env.monotonicMs() + sliceMs;
    do {
      for (let count = 0; count < rowsPerLook; count++) {
        if (this.#chunks.length === 0) return this.#end();
        this.#describing(() => this.#step());
      }
    } while (this.#env.monotonicMs() < untilMs);
    return undefined;
  }

  /** Removes the file at hand; those that are complete are removed by whoever was told of them. */
  abandon(): void {
    this.#writer.abandon();
  }

  #step(): void {
    const rows = this.#rows ?? new RowChunk(this.#chunks[0]!, this.#lastKey);
    this.#rows = rows;
    if (rows.isValid) {
      const { bytes, keyStart, keyEnd, recordEnd, sequence } = rows;
      this.#writer.add(bytes, keyStart, keyEnd, recordEnd, sequence);
      if (sequence > this.#sequenceMax) this.#sequenceMax = sequence;
      const fileBytes = Math.max(this.#options.tableBytesMax, this.#filesBytes / filePartOfAll);
      if (this.#writer.fileBytes >= fileBytes) this.#writer.endFile();
      rows.advance();
    }
    if (!rows.isValid) this.#endChunk(rows);
  }

  #endChunk({ bytes, keyStart, keyEnd }: RowChunk): void {
    this.#rows = undefined;
    this.#chunks.shift();
    this.#chunksTaken++;
    if (bytes.length > 0) this.#lastKey = bytes.slice(keyStart, keyEnd);
    this.#options.send({ step: "taken", install: this.install, bytes: bytes.length });
  }

  #end(): InstallState | undefined {
    const state = this.#state;
    if (state === undefined) return undefined;
    if (this.#sequenceMax > state.sequence)
      throw new DecodeError(
        `a row has the sequence number ${this.#sequenceMax}, the last is ${state.sequence}`,
      );
    this.#writer.endFile();
    return state;
  }

  #describing(run: () => void): void {
    try {
      run();
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      throw new DecodeError(`chunk ${this.#chunksTaken + 1}: ${error.message}`);
    }
  }
}
