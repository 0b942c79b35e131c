import type { Row } from "../env/tables.ts";
import { assert } from "../lib/assert.ts";
import { type Bytes, emptyBytes, equalBytes } from "../lib/bytes.ts";
import type { Cursor } from "./cursor.ts";
import type { Run } from "./run.ts";

/** A seek reads a few rows, since most scans are short; each page after it is four times as large, up to the run's. */
const firstPageRows = 8;
const pageGrowth = 4;

/**
 * A cursor over the keys of a run, each in its newest version. It keeps one page of rows and no statement or
 * transaction, so it may stand for as long as it likes.
 */
export class RunCursor implements Cursor {
  readonly #run: Run;
  /** Ascending, one row per key. */
  #page: Row[] = [];
  #place = 0;
  /** Whether nothing comes before the page, or after it. */
  #startsRun = false;
  #endsRun = false;
  #pageRows = 0;

  constructor(run: Run) {
    this.#run = run;
  }

  get isValid(): boolean {
    return this.#place >= 0 && this.#place < this.#page.length;
  }

  get key(): Bytes {
    return this.#row().key;
  }

  isTombstone(): boolean {
    return this.#run.isTombstone(this.#row().record);
  }

  value(): Bytes {
    return this.#run.value(this.#row().record) ?? emptyBytes;
  }

  next(): void {
    const key = this.key;
    this.#place++;
    if (this.#place < this.#page.length || this.#endsRun) return;
    this.#pageRows = Math.min(this.#pageRows * pageGrowth, this.#run.pageRows);
    this.#loadAfter(key);
  }

  prev(): void {
    const key = this.key;
    this.#place--;
    if (this.#place >= 0 || this.#startsRun) return;
    this.#pageRows = Math.min(this.#pageRows * pageGrowth, this.#run.pageRows);
    this.#loadBefore(key);
  }

  seekToFirst(): void {
    this.#startSmall();
    this.#forward(this.#run.forward(undefined, this.#pageRows), true);
  }

  seekToLast(): void {
    this.#startSmall();
    this.#backward(this.#run.backward(undefined, this.#pageRows), true);
  }

  seek(target: Bytes): void {
    this.#startSmall();
    this.#forward(this.#run.forward({ key: target, sequence: Infinity }, this.#pageRows), false);
  }

  seekAfter(target: Bytes): void {
    this.#startSmall();
    this.#loadAfter(target);
  }

  seekBefore(target: Bytes): void {
    this.#startSmall();
    this.#loadBefore(target);
  }

  #startSmall(): void {
    this.#pageRows = Math.min(firstPageRows, this.#run.pageRows);
  }

  #loadAfter(key: Bytes): void {
    this.#forward(this.#run.forward({ key, sequence: -1 }, this.#pageRows), false);
  }

  #loadBefore(key: Bytes): void {
    this.#backward(this.#run.backward({ key, sequence: Infinity }, this.#pageRows), false);
  }

  /** Takes rows in order, and stands on the first. Versions of the last key that follow are not asked for. */
  #forward(rows: Row[], startsRun: boolean): void {
    this.#endsRun = rows.length < this.#pageRows;
    this.#startsRun = startsRun;
    const page: Row[] = [];
    for (const row of rows) {
      const last = page[page.length - 1];
      if (last === undefined || !equalBytes(last.key, row.key)) page.push(row);
    }
    this.#page = page;
    this.#place = 0;
  }

  /** Takes rows in reverse order, and stands on the last in order. */
  #backward(rows: Row[], endsRun: boolean): void {
    this.#startsRun = rows.length < this.#pageRows;
    this.#endsRun = endsRun;
    const page: Row[] = [];
    for (const row of rows) {
      const last = page[page.length - 1];
      if (last !== undefined && equalBytes(last.key, row.key)) page[page.length - 1] = row;
      else page.push(row);
    }
    const first = page[page.length - 1];
    // A full page may end amid the versions of a key, before the newest one.
    if (first !== undefined && !this.#startsRun) page[page.length - 1] = this.#run.get(first.key) ?? first;
    page.reverse();
    this.#page = page;
    this.#place = page.length - 1;
  }

  #row(): Row {
    const row = this.#page[this.#place];
    assert(row !== undefined, "the cursor is on a key");
    return row;
  }
}
