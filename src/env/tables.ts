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
  /** Builds a run from rows in order. The content is durable when it returns, its name only after Disk.syncFolder. */
  build(path: string, rows: Iterable<Row>): void;
  open(path: string): Table;
}

/** An open run. Reads hold no transaction and no lock. */
export interface Table {
  /** The newest version of `key` at or below `sequence`, or undefined. */
  get(key: Bytes, sequence: number): Row | undefined;
  /** The versions of `key`, newest first, at or below `sequence`. */
  versions(key: Bytes, sequence: number): Row[];
  /** Up to `most` rows after the position in row order; from the first row without one. */
  forward(after: Position | undefined, most: number): Row[];
  /** Up to `most` rows before the position in reverse row order; from the last row without one. */
  backward(before: Position | undefined, most: number): Row[];
  close(): void;
}

/** A place between rows: (key, sequence) need not exist. `sequence` Infinity stands before all versions of the key, -1 after them. */
export interface Position {
  readonly key: Bytes;
  readonly sequence: number;
}
