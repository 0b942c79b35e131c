import type { Disk, DiskFile } from "../../src/env/disk.ts";
import type { Position, Row, Table, TableBuilder, Tables } from "../../src/env/tables.ts";
import { assert } from "../../src/lib/assert.ts";
import { type Bytes, compareBytes, copyBytes, equalBytes } from "../../src/lib/bytes.ts";
import { crc32 } from "../../src/lib/checksum.ts";
import { ByteReader, ByteWriter } from "../../src/lib/codec.ts";
import { KvraftError } from "../../src/lib/error.ts";

/** Sorted runs as arrays, kept in the files of a Disk so that they live and die with it. */
export class MemoryTables implements Tables {
  readonly #disk: Disk;
  /** Tables that are open, for tests that count them. */
  openCount = 0;
  /** Syncs that are under way beside the event loop; each ends when a test says so. */
  readonly #syncs: (() => void)[] = [];

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  begin(path: string): TableBuilder {
    return new MemoryTableBuilder(this.#disk, path, (end) => this.#syncs.push(end));
  }

  /** Ends the oldest sync that is under way. Returns whether there was one. */
  endSync(): boolean {
    const end = this.#syncs.shift();
    end?.();
    return end !== undefined;
  }

  open(path: string): Table {
    const bytes = this.#disk.read(path);
    if (bytes === undefined) throw new KvraftError("IO_ERROR", `Cannot open run "${path}": it is missing`);
    const reader = new ByteReader(bytes);
    if (bytes.length < 4 || reader.u32() !== crc32(bytes.subarray(4), 1))
      throw new KvraftError("CORRUPTION", `Cannot open run "${path}": the file is damaged`);
    const rows: Row[] = [];
    while (reader.remaining > 0)
      rows.push({ key: reader.bytes(), sequence: reader.u53(), record: reader.bytes() });
    this.openCount++;
    return new MemoryTable(rows, () => this.openCount--);
  }
}

/** Rows between two writes of a builder, so that a crash leaves files of any length. */
const rowsPerWrite = 3;

class MemoryTableBuilder implements TableBuilder {
  readonly #disk: Disk;
  readonly #path: string;
  readonly #file: DiskFile;
  readonly #writer = new ByteWriter();
  readonly #syncLater: (end: () => void) => void;
  #rows = 0;
  #isComplete = false;
  #done: ((error?: Error) => void) | undefined;

  constructor(disk: Disk, path: string, syncLater: (end: () => void) => void) {
    this.#disk = disk;
    this.#path = path;
    this.#syncLater = syncLater;
    disk.remove(path);
    this.#file = disk.open(path, "create");
    this.#writer.u32(0);
  }

  add(row: Row): void {
    assert(!this.#isComplete, "rows come before the end");
    this.#writer.bytes(row.key);
    this.#writer.u53(row.sequence);
    this.#writer.bytes(row.record);
    if (++this.#rows % rowsPerWrite === 0) this.#file.write(0, this.#writer.view());
  }

  finish(done: (error?: Error) => void): void {
    this.#complete();
    this.#done = done;
    this.#syncLater(() => {
      if (this.#done !== undefined) this.#sync(this.#done);
    });
  }

  finishNow(): void {
    if (!this.#isComplete) this.#complete();
    this.#done = undefined;
    this.#file.sync();
  }

  abandon(): void {
    this.#done = undefined;
    try {
      this.#disk.remove(this.#path);
    } catch (error) {
      if (!(error instanceof KvraftError)) throw error;
    }
  }

  #complete(): void {
    assert(!this.#isComplete, "a run is completed once");
    this.#isComplete = true;
    this.#writer.setU32(0, crc32(this.#writer.view().subarray(4), 1));
    this.#file.write(0, this.#writer.view());
  }

  #sync(done: (error?: Error) => void): void {
    this.#done = undefined;
    try {
      this.#file.sync();
    } catch (error) {
      if (!(error instanceof KvraftError)) throw error;
      return done(error);
    }
    done();
  }
}

/** Written to be read: every question looks at every row. */
class MemoryTable implements Table {
  readonly #rows: readonly Row[];
  readonly #closed: () => void;

  constructor(rows: readonly Row[], closed: () => void) {
    this.#rows = rows;
    this.#closed = closed;
  }

  get(key: Bytes, sequence: number): Row | undefined {
    return this.versions(key, sequence)[0];
  }

  versions(key: Bytes, sequence: number): Row[] {
    return this.#rows.filter((row) => equalBytes(row.key, key) && row.sequence <= sequence).map(copyRow);
  }

  forward(after: Position | undefined, most: number): Row[] {
    const rows = this.#rows.filter((row) => after === undefined || order(row, after) > 0);
    return rows.slice(0, most).map(copyRow);
  }

  backward(before: Position | undefined, most: number): Row[] {
    const rows = this.#rows.filter((row) => before === undefined || order(row, before) < 0);
    return rows.reverse().slice(0, most).map(copyRow);
  }

  close(): void {
    this.#closed();
  }
}

function order(a: Position, b: Position): number {
  const keys = compareBytes(a.key, b.key);
  if (keys !== 0) return keys;
  return a.sequence > b.sequence ? -1 : a.sequence < b.sequence ? 1 : 0;
}

/** What a table returns belongs to the reader, as with a real one. */
function copyRow(row: Row): Row {
  return { key: copyBytes(row.key), sequence: row.sequence, record: copyBytes(row.record) };
}
