import type { Disk } from "../env/disk.ts";
import type { Position, Row, Table, Tables } from "../env/tables.ts";
import { assert } from "../lib/assert.ts";
import { type Bytes, compareBytes } from "../lib/bytes.ts";
import { DecodeError } from "../lib/codec.ts";
import { KvraftError } from "../lib/error.ts";
import { corruption } from "./corruption.ts";
import { runPath } from "./folder-names.ts";
import type { RunFile } from "./manifest.ts";
import { decodeRecord, isTombstoneRecord, type StoredRecord, valueOfRecord } from "./record.ts";

/** A page of a scan holds about this much, whatever the size of a row: it is what a cursor keeps in memory. */
const pageBytes = 256 * 1024;
const pageRowsMax = 512;
/** A merge reads small pages: many inputs may need their next one in the same slice of work. */
const mergePageRowsMax = 64;

/**
 * An open run, shared by all views that contain it: closed when the last one has gone, and removed then when it was
 * dropped from the store meanwhile. What it reads is checked: disorder and records that make no sense are CORRUPTION.
 */
export class Run {
  readonly file: RunFile;
  readonly path: string;
  /** Rows that a page may have. */
  readonly pageRows: number;
  readonly #disk: Disk;
  readonly #report: (line: string) => void;
  readonly #table: Table;
  #holders = 1;
  #isDropped = false;

  constructor(
    env: { disk: Disk; tables: Tables },
    folder: string,
    file: RunFile,
    report: (line: string) => void,
  ) {
    this.file = file;
    this.path = runPath(folder, file.number);
    const rowBytes = Math.ceil(file.bytes / Math.max(1, file.rows));
    this.pageRows = Math.min(Math.max(1, Math.floor(pageBytes / Math.max(1, rowBytes))), pageRowsMax);
    this.#disk = env.disk;
    this.#report = report;
    this.#table = env.tables.open(this.path);
    try {
      this.#checkEnds();
    } catch (error) {
      this.#table.close();
      throw error;
    }
  }

  hold(): void {
    assert(this.#holders > 0, "a closed run is not held again");
    this.#holders++;
  }

  release(): void {
    assert(this.#holders > 0, "a run is released once per holder");
    this.#holders--;
    if (this.#holders > 0) return;
    this.#table.close();
    if (this.#isDropped) this.#remove();
  }

  /** The store needs this run no more; its file goes with the last holder. */
  drop(): void {
    this.#isDropped = true;
  }

  /** The newest version of the key. */
  get(key: Bytes): Row | undefined {
    if (compareBytes(key, this.file.smallest) < 0 || compareBytes(key, this.file.largest) > 0)
      return undefined;
    return this.#table.get(key, Infinity);
  }

  /** Up to `most` rows after a position, in order. */
  forward(after: Position | undefined, most: number): Row[] {
    return this.#inOrder(this.#table.forward(after, most), after, 1);
  }

  /** Up to `most` rows before a position, in reverse order. */
  backward(before: Position | undefined, most: number): Row[] {
    return this.#inOrder(this.#table.backward(before, most), before, -1);
  }

  /** All rows in order, a page at a time. When it ends, they were as many as were put in. */
  *rows(): IterableIterator<Row> {
    const pageRows = Math.min(this.pageRows, mergePageRowsMax);
    let after: Position | undefined;
    for (let count = 0; ; ) {
      const page = this.forward(after, pageRows);
      yield* page;
      count += page.length;
      if (page.length < pageRows) {
        if (count === this.file.rows) return;
        throw this.#damaged(new DecodeError(`it has ${count} rows, MANIFEST names ${this.file.rows}`));
      }
      after = page[page.length - 1];
    }
  }

  isTombstone(record: Bytes): boolean {
    try {
      return isTombstoneRecord(record);
    } catch (error) {
      throw this.#damaged(error);
    }
  }

  /** The value in a record of this run; undefined for a tombstone. */
  value(record: Bytes): Bytes | undefined {
    try {
      return valueOfRecord(record);
    } catch (error) {
      throw this.#damaged(error);
    }
  }

  decode(record: Bytes): StoredRecord {
    try {
      return decodeRecord(record);
    } catch (error) {
      throw this.#damaged(error);
    }
  }

  /** A reader that lets go has no part in a file that cannot be removed; the next open tries again. */
  #remove(): void {
    try {
      this.#disk.remove(this.path);
    } catch (error) {
      if (!(error instanceof KvraftError)) throw error;
      this.#report(error.message);
    }
  }

  /** Another run's file in the place of this one, of the same size, is whole in itself: only MANIFEST can tell. */
  #checkEnds(): void {
    const { smallest, largest, sequenceMin, sequenceMax } = this.file;
    const [first] = this.forward(undefined, 1);
    const [last] = this.backward(undefined, 1);
    for (const [row, wanted] of [
      [first, smallest],
      [last, largest],
    ] as const) {
      const isKnown = row !== undefined && compareBytes(row.key, wanted) === 0;
      if (!(isKnown && row.sequence >= sequenceMin && row.sequence <= sequenceMax))
        throw this.#damaged(new DecodeError("its first and last row are not the ones that MANIFEST names"));
    }
  }

  /** Rows out of order would make a scan or a merge run in circles. */
  #inOrder(rows: Row[], from: Position | undefined, direction: 1 | -1): Row[] {
    let previous = from;
    for (const row of rows) {
      if (previous !== undefined && compareRows(previous, row) * direction >= 0)
        throw this.#damaged(new DecodeError("its rows are out of order"));
      previous = row;
    }
    return rows;
  }

  #damaged(error: unknown): unknown {
    if (!(error instanceof DecodeError)) return error;
    return corruption(`read run "${this.path}"`, `the file is damaged (${error.message})`, error);
  }
}

/** The order of rows: key ascending, then sequence descending. */
export function compareRows(a: Position, b: Position): number {
  return compareBytes(a.key, b.key) || Math.sign(b.sequence - a.sequence);
}
