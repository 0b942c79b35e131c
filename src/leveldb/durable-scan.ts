import { assert } from "../lib/assert.ts";
import { type Bytes, compareBytes } from "../lib/bytes.ts";
import { DecodeError } from "../lib/codec.ts";
import { KvraftError } from "../lib/error.ts";
import { corruption } from "./corruption.ts";
import type { Applied, Manifest, TableFile } from "./manifest.ts";
import { Merge, type RowSink } from "./merge.ts";
import { RowChunkWriter } from "./row-chunk.ts";
import { RunSource } from "./row-source.ts";
import type { OpenPart, Run } from "./run.ts";
import type { Table } from "./table.ts";
import { View } from "./view.ts";

/**
 * Versions that a read looks at, about: a chunk of small rows, or of keys that many runs have, is a short one, and one
 * that finds nothing but deletions is empty.
 */
const versionsPerReadMax = 4096;
/** Files that an error names. */
const filesNamed = 16;

/**
 * The state that MANIFEST held when the scan was made, chunk by chunk: all live keys in order, each in its newest version.
 * What is only in memory has no part in it. It holds the files that it reads until `close`, whatever is flushed,
 * merged and installed meanwhile; of the rows it has no more in memory than a block for each run.
 */
export class DurableScan {
  /** The entry of the owner's log up to which the state goes. */
  readonly applied: Applied;
  /** The sequence number of its last write. */
  readonly sequence: number;
  /** Of the files that it reads, garbage included: all chunks have fewer. */
  readonly bytes: number;
  /** Rows that were found so far: at the end, all of them. */
  rows = 0;
  readonly #view: View;
  readonly #sources: RunSource[] = [];
  readonly #parts: readonly (readonly OpenPart[])[];
  readonly #closed: (scan: DurableScan) => void;
  readonly #chunk = new RowChunkWriter();
  readonly #sink: RowSink;
  #merge: Merge | undefined;
  #isAtLimit = false;
  #isClosed = false;

  /** `closed` is told once. */
  constructor(
    runs: readonly Run[],
    { applied, sequence }: Manifest,
    limit: Bytes | undefined,
    closed: (scan: DurableScan) => void,
  ) {
    this.applied = applied;
    this.sequence = sequence;
    this.#closed = closed;
    this.#view = View.take([], runs, sequence);
    this.#parts = runs.map(({ parts }) =>
      parts.filter(({ table }) => limit === undefined || compareBytes(table.file.smallest, limit) < 0),
    );
    this.bytes = this.#parts.flat().reduce((sum, { table }) => sum + table.file.bytes, 0);
    this.#sink = {
      add: (bytes, keyStart, keyEnd, recordEnd, sequence) => {
        const isBelow = limit === undefined || compareBytes(bytes.subarray(keyStart, keyEnd), limit) < 0;
        if (!isBelow) this.#isAtLimit = true;
        else {
          this.#chunk.add(bytes, keyStart, keyEnd, recordEnd, sequence);
          this.rows++;
        }
      },
    };
  }

  /**
   * The next chunk (row-chunk.ts), in memory that is the caller's: up to `bytesMax` bytes of rows, or one row that is
   * larger. It may be shorter, and even empty, when thousands of versions were looked at for it. Undefined at the end.
   * CORRUPTION for damage; then only `close` may follow.
   */
  read(bytesMax: number): Bytes | undefined {
    assert(bytesMax > 0, "a chunk has room for something");
    if (this.#isClosed)
      throw new KvraftError(
        "CLOSED",
        "Cannot use the scan: it was closed, or its database was; begin a new one",
      );
    return this.#decoding(() => this.#read(bytesMax));
  }

  /** Lets go of the files. Calling it again does nothing. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const source of this.#sources) source.close();
    this.#view.release();
    this.#closed(this);
  }

  #read(bytesMax: number): Bytes | undefined {
    const merge = this.#merge ?? this.#begin();
    const chunk = this.#chunk;
    chunk.reserve(bytesMax);
    let versions = 0;
    while (versions < versionsPerReadMax && chunk.length < bytesMax) {
      if (merge.isDone || this.#isAtLimit) return chunk.length === 0 ? undefined : chunk.take(bytesMax);
      versions += merge.step(this.#sink);
    }
    return chunk.take(bytesMax);
  }

  #begin(): Merge {
    const tables = new Map<number, Table>();
    for (const { table } of this.#parts.flat()) tables.set(table.file.number, table);
    const open = ({ number }: TableFile): Table => {
      const table = tables.get(number)!;
      table.hold();
      return table;
    };
    for (const parts of this.#parts) {
      const states = parts.map(({ table, from }) => ({ file: table.file, from }));
      this.#sources.push(new RunSource(states, open));
    }
    // All layers take part, and nobody reads the past of a copy.
    this.#merge = new Merge(this.#sources, { isBottom: true, historyFloor: Infinity });
    return this.#merge;
  }

  /** Which file a bad record came from is not known any more when the merge finds it. */
  #decoding<T>(run: () => T): T {
    try {
      return run();
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      const paths = this.#parts.flat().map(({ table }) => `"${table.path}"`);
      const what = `read runs ${paths.slice(0, filesNamed).join(", ")}`;
      throw corruption(what, `one of them is damaged (${error.message})`, error);
    }
  }
}
