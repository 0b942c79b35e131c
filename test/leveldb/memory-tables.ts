import type { Disk } from "../../src/env/disk.ts";
import type { Position, Row, Table, Tables } from "../../src/env/tables.ts";
import { type Bytes, compareBytes, copyBytes, equalBytes } from "../../src/lib/bytes.ts";
import { crc32 } from "../../src/lib/checksum.ts";
import { ByteReader, ByteWriter } from "../../src/lib/codec.ts";
import { KvraftError } from "../../src/lib/error.ts";

/** Sorted runs as arrays, kept in the files of a Disk so that they live and die with it. */
export class MemoryTables implements Tables {
  readonly #disk: Disk;
  /** Tables that are open, for tests that count them. */
  openCount = 0;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  build(path: string, rows: Iterable<Row>): void {
    const writer = new ByteWriter();
    writer.u32(0);
    for (const row of rows) {
      writer.bytes(row.key);
      writer.u53(row.sequence);
      writer.bytes(row.record);
    }
    writer.setU32(0, crc32(writer.view().subarray(4), 1));
    this.#disk.remove(path);
    const file = this.#disk.open(path, "create");
    file.write(0, writer.take());
    file.sync();
    file.close();
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
