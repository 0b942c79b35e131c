import type { Disk, DiskFile } from "../../src/env/disk.ts";
import type { Position, Row, Table, TableBuilder, Tables } from "../../src/env/tables.ts";
import { assert } from "../../src/lib/assert.ts";
import { type Bytes, compareBytes, copyBytes, equalBytes } from "../../src/lib/bytes.ts";
import { crc32 } from "../../src/lib/checksum.ts";
import { ByteReader, ByteWriter, DecodeError } from "../../src/lib/codec.ts";
import { KvraftError } from "../../src/lib/error.ts";

/** Sorted runs as sorted arrays, kept in the files of a simulated disk: they live, die and rot with it. */
export class SimTables implements Tables {
  readonly #disk: Disk;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  begin(path: string): TableBuilder {
    return new SimTableBuilder(this.#disk, path);
  }

  open(path: string): Table {
    const bytes = this.#disk.read(path);
    if (bytes === undefined) throw new KvraftError("IO_ERROR", `Cannot open run "${path}": it is missing`);
    return new SimTable(decode(bytes, path));
  }
}

class SimTableBuilder implements TableBuilder {
  readonly #disk: Disk;
  readonly #path: string;
  readonly #file: DiskFile;
  readonly #writer = new ByteWriter();
  #isComplete = false;
  #isOver = false;

  constructor(disk: Disk, path: string) {
    this.#disk = disk;
    this.#path = path;
    disk.remove(path);
    this.#file = disk.open(path, "create");
    this.#writer.u32(0);
  }

  add(row: Row): void {
    assert(!this.#isComplete, "rows come before the end");
    this.#writer.bytes(row.key);
    this.#writer.u53(row.sequence);
    this.#writer.bytes(row.record);
  }

  finish(done: (error?: Error) => void): void {
    this.#complete();
    this.#file.writeDurably(0, this.#writer.view(), (error) => {
      if (!this.#isOver) done(error);
    });
  }

  finishNow(): void {
    if (!this.#isComplete) {
      this.#complete();
      this.#file.write(0, this.#writer.view());
    }
    this.#isOver = true;
    this.#file.sync();
  }

  abandon(): void {
    this.#isOver = true;
    this.#disk.remove(this.#path);
  }

  #complete(): void {
    assert(!this.#isComplete, "a run is completed once");
    this.#isComplete = true;
    this.#writer.setU32(0, crc32(this.#writer.view().subarray(4), 1));
  }
}

class SimTable implements Table {
  readonly #rows: readonly Row[];

  constructor(rows: readonly Row[]) {
    this.#rows = rows;
  }

  get(key: Bytes, sequence: number): Row | undefined {
    const row = this.#rows[this.#placeAfter({ key, sequence: sequence + 1 })];
    return row !== undefined && equalBytes(row.key, key) ? copyRow(row) : undefined;
  }

  versions(key: Bytes, sequence: number): Row[] {
    const versions: Row[] = [];
    for (let at = this.#placeAfter({ key, sequence: sequence + 1 }); at < this.#rows.length; at++) {
      const row = this.#rows[at]!;
      if (!equalBytes(row.key, key)) break;
      versions.push(copyRow(row));
    }
    return versions;
  }

  forward(after: Position | undefined, most: number): Row[] {
    const from = after === undefined ? 0 : this.#placeAfter(after);
    return this.#rows.slice(from, from + most).map(copyRow);
  }

  backward(before: Position | undefined, most: number): Row[] {
    let limit = before === undefined ? this.#rows.length : this.#placeAfter(before);
    while (before !== undefined && limit > 0 && order(this.#rows[limit - 1]!, before) >= 0) limit--;
    return this.#rows
      .slice(Math.max(0, limit - most), limit)
      .reverse()
      .map(copyRow);
  }

  close(): void {}

  /** The place of the first row after a position. */
  #placeAfter(position: Position): number {
    let low = 0;
    let high = this.#rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (order(this.#rows[middle]!, position) > 0) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

function decode(bytes: Bytes, path: string): Row[] {
  const rows: Row[] = [];
  try {
    const reader = new ByteReader(bytes);
    if (reader.u32() !== crc32(bytes.subarray(4), 1)) throw new DecodeError("its checksum fails");
    while (reader.remaining > 0)
      rows.push({ key: reader.bytes(), sequence: reader.u53(), record: reader.bytes() });
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new KvraftError("CORRUPTION", `Cannot open run "${path}": the file is damaged (${error.message})`);
  }
  return rows;
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
