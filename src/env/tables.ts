import type { Bytes } from "../lib/bytes.ts";

/** One version of one key in a sorted run. Order of rows: key ascending, then sequence descending. */
export interface Row {
  readonly key: Bytes;
  readonly sequence: number;
  /** An encoded record (leveldb/record.ts). */
  readonly record: Bytes;
}

/** Sorted runs: immutable tables on disk. Failures are KvraftErrors (IO_ERROR, NO_SPACE, CORRUPTION). */
export interface Tables {
  /** Begins a run. A file that an interrupted build has left at the path is replaced. */
  begin(path: string): TableBuilder;
  open(path: string): Table;
}

/**
 * A run under construction. Its rows come in order; its name is durable only after Disk.syncFolder. After one of the
 * calls has thrown, or `done` got an error, only `abandon` may follow.
 */
export interface TableBuilder {
  add(row: Row): void;
  /**
   * Completes the file, and syncs it beside the event loop: the content is durable when `done` runs without an
   * error. Never calls `done` before returning.
   */
  finish(done: (error?: Error) => void): void;
  /** The same at once: the content is durable when it returns. After `finish` it waits for no `done`, and none runs. */
  finishNow(): void;
  /** Lets go of the file, and removes it if that can be done; no `done` runs after it. Throws nothing. */
  abandon(): void;
}

/** An open run. Reads hold no transaction and no lock. A row that is not as it was added is CORRUPTION, no answer. */
export interface Table {
  /** The newest version of `key` at or below `sequence`, or undefined. The row's key may be the caller's own. */
  get(key: Bytes, sequence: number): Row | undefined;
  /** The versions of `key`, newest first, at or below `sequence`. */
  versions(key: Bytes, sequence: number): Row[];
  /** Up to `most` rows after the position in row order; from the first row without one. */
  forward(after: Position | undefined, most: number): Row[];
  /** Up to `most` rows before the position in reverse row order; from the last row without one. */
  backward(before: Position | undefined, most: number): Row[];
  close(): void;
}

/**
 * A place between rows: (key, sequence) need not exist. `sequence` Infinity stands before all versions of the key, -1
 * after them.
 */
export interface Position {
  readonly key: Bytes;
  readonly sequence: number;
}
