import type { Row, TableBuilder } from "../env/tables.ts";
import { assert } from "../lib/assert.ts";
import { type Bytes, copyBytes, emptyBytes } from "../lib/bytes.ts";
import type { RunFile } from "./manifest.ts";
import { compareRows } from "./run.ts";

/** Bytes that one step takes in before it pauses, when rows are large. */
const stepBytesMax = 256 * 1024;

/** Where a new run goes: asked for once, with the first row. */
export interface RunPlace {
  begin(): { number: number; table: TableBuilder };
  sizeOf(number: number): number;
}

/**
 * A run under construction out of a stream of rows, step by step: rows, then the end of the file, then its sync
 * beside the event loop. A stream without rows makes no file.
 */
export class RunBuilder {
  readonly #rows: Iterator<Row | undefined>;
  readonly #place: RunPlace;
  readonly #tally = new Tally();
  #table: TableBuilder | undefined;
  #number = 0;
  #state: "taking rows" | "complete" | "syncing" | "durable" | "abandoned" = "taking rows";
  #failure: Error | undefined;

  constructor(rows: Iterator<Row | undefined>, place: RunPlace) {
    this.#rows = rows;
    this.#place = place;
  }

  /** Whether a step would do nothing, because the sync has not ended. */
  get isWaiting(): boolean {
    return this.#state === "syncing" && this.#failure === undefined;
  }

  get isDurable(): boolean {
    return this.#state === "durable";
  }

  /** Does a part of the work: the beginning, up to `rowsMax` rows, or the end. Throws what rows and disk throw. */
  step(rowsMax: number): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#state === "taking rows") this.#takeRows(rowsMax, stepBytesMax);
    else if (this.#state === "complete") this.#finish();
  }

  /** Does all that is left. */
  finishNow(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#state === "taking rows") this.#takeRows(Infinity, Infinity);
    if (this.#state === "durable") return;
    this.#table?.finishNow();
    this.#state = "durable";
  }

  /** What was built; undefined when there were no rows. Requires isDurable. */
  output(): RunFile | undefined {
    assert(this.isDurable, "only a durable run is used");
    if (this.#table === undefined) return undefined;
    return this.#tally.file(this.#number, this.#place.sizeOf(this.#number));
  }

  /** Gives up. A run that is durable stays, since MANIFEST may name it by now. */
  abandon(): void {
    if (this.#state === "durable" || this.#state === "abandoned") return;
    this.#state = "abandoned";
    this.#table?.abandon();
  }

  #takeRows(rowsMax: number, bytesMax: number): void {
    let bytes = 0;
    for (let count = 0; count < rowsMax && bytes < bytesMax; count++) {
      const step = this.#rows.next();
      if (step.done === true) {
        this.#state = "complete";
        return;
      }
      const row = step.value;
      if (row === undefined) continue;
      const isFirst = this.#table === undefined;
      this.#add(row);
      // To begin a file costs as much as a slice of rows.
      if (isFirst && rowsMax < Infinity) return;
      bytes += row.key.length + row.record.length;
    }
  }

  #add(row: Row): void {
    if (this.#table === undefined) ({ number: this.#number, table: this.#table } = this.#place.begin());
    this.#tally.add(row);
    this.#table.add(row);
  }

  #finish(): void {
    if (this.#table === undefined) {
      this.#state = "durable";
      return;
    }
    this.#table.finish((error) => {
      if (this.#state !== "syncing") return;
      if (error === undefined) this.#state = "durable";
      else this.#failure = error;
    });
    this.#state = "syncing";
  }
}

/** Learns from the rows that pass what MANIFEST says about a run. */
class Tally {
  #rows = 0;
  #smallest: Bytes = emptyBytes;
  #last: Row | undefined;
  #sequenceMin = Infinity;
  #sequenceMax = 0;

  add(row: Row): void {
    if (this.#last === undefined) this.#smallest = copyBytes(row.key);
    else assert(compareRows(this.#last, row) < 0, "rows go into a run in order");
    this.#last = row;
    this.#rows++;
    if (row.sequence < this.#sequenceMin) this.#sequenceMin = row.sequence;
    if (row.sequence > this.#sequenceMax) this.#sequenceMax = row.sequence;
  }

  file(number: number, bytes: number): RunFile {
    assert(this.#last !== undefined, "a run has rows");
    return {
      number,
      rows: this.#rows,
      bytes,
      smallest: this.#smallest,
      largest: copyBytes(this.#last.key),
      sequenceMin: this.#sequenceMin,
      sequenceMax: this.#sequenceMax,
    };
  }
}
