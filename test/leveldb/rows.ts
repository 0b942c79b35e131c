/** Rows for tests: encoded, ordered, and made into the files of a run. */
import { BlockCache } from "../../src/leveldb/block-cache.ts";
import { runPath } from "../../src/leveldb/folder-names.ts";
import type { TableFile } from "../../src/leveldb/manifest.ts";
import { encodeRecord, type StoredRecord, tombstoneRecord } from "../../src/leveldb/record.ts";
import { Run } from "../../src/leveldb/run.ts";
import { Table } from "../../src/leveldb/table.ts";
import { TableWriter } from "../../src/leveldb/table-writer.ts";
import { type Bytes, compareBytes, concatBytes, toUtf8 } from "../../src/lib/bytes.ts";
import { MemoryDisk } from "./memory-disk.ts";
import { MemoryTables } from "./memory-tables.ts";

export interface Row {
  readonly key: Bytes;
  readonly sequence: number;
  readonly record: Bytes;
}

export function tombstone(key: string, sequence: number): Row {
  return { key: toUtf8(key), sequence, record: tombstoneRecord };
}

/** A put: of the key and the sequence number as text, unless `life` says something else. */
export function put(key: string, sequence: number, life: Partial<StoredRecord> = {}): Row {
  return putBytes(toUtf8(key), sequence, { value: toUtf8(`${key}@${sequence}`), ...life });
}

export function putBytes(key: Bytes, sequence: number, life: Partial<StoredRecord> & { value: Bytes }): Row {
  const rest = { isTombstone: false, isComplete: false, created: sequence, count: 1, lease: 0, expiry: 0 };
  return { key, sequence, record: encodeRecord({ ...rest, ...life }) };
}

/** The order of a run: by key, and of one key the newest first. */
export function compareRows(a: Row, b: Row): number {
  return compareBytes(a.key, b.key) || b.sequence - a.sequence;
}

/** Adds a row that lies somewhere in a larger buffer, as they do when they come from blocks. */
export function addRow(writer: TableWriter, { key, record, sequence }: Row): void {
  const bytes = concatBytes([new Uint8Array(3), key, record, new Uint8Array(2)]);
  writer.add(bytes, 3, 3 + key.length, 3 + key.length + record.length, sequence);
}

/** A folder for files of runs. */
export class RunFiles {
  readonly disk = new MemoryDisk();
  readonly tables = new MemoryTables(this.disk);
  readonly cache = new BlockCache(1024 * 1024);
  #nextNumber = 1;

  constructor() {
    this.disk.createFolder("store");
  }

  build(rows: readonly Row[]): TableFile {
    const number = this.#nextNumber++;
    const path = runPath("store", number);
    const writer = new TableWriter(number, this.tables.begin(path));
    for (const row of rows) addRow(writer, row);
    const { sample, ...file } = writer.finish();
    return { ...file, bytes: this.disk.read(path)!.length };
  }

  open(file: TableFile): Table {
    return new Table(this.tables, "store", file, this.cache);
  }

  /** A run of files with these rows each, of which what is below `from` does not belong to it. */
  run(parts: readonly { readonly rows: readonly Row[]; readonly from?: Bytes | undefined }[]): Run {
    const files = parts.map(({ rows, from }) => ({ file: this.build(rows), from }));
    const tables = new Map(files.map(({ file }) => [file.number, this.open(file)]));
    return new Run({ id: 1, parts: files }, (number) => tables.get(number)!);
  }
}
