/**
 * Sorted runs as SQLite files: one table `run`, clustered by (key, sequence descending), written once and then only
 * read. A run is built without a journal on disk, because a run that was not finished is never looked at again.
 *
 *     row      = key BLOB, sequence INTEGER, checksum INTEGER, record BLOB
 *     checksum = CRC-32 of key and record, as a signed 32-bit number, seeded with
 *                low32(sequence) ^ high21(sequence) * 0x9e3779b1 ^ (length of key + 1) * 0x85ebca6b  (mod 2^32)
 *
 * The seed makes the sequence number, and where the key ends, part of what is checked. Example: the key `6B` ("k") at
 * sequence 7 with the record `01 03` has the seed 0x0BD794D1 and the checksum -1174353331.
 */
import { constants, Database, SQLiteError, type Statement } from "bun:sqlite";
import { closeSync, fsync, fsyncSync, openSync, rmSync } from "node:fs";
import { assert } from "../lib/assert.ts";
import type { Bytes } from "../lib/bytes.ts";
import { crc32 } from "../lib/checksum.ts";
import { type ErrorCode, KvraftError, messageOf } from "../lib/error.ts";
import type { Position, Row, Table, TableBuilder, Tables } from "./tables.ts";

const schema = `CREATE TABLE run (
  key BLOB NOT NULL, sequence INTEGER NOT NULL, checksum INTEGER NOT NULL, record BLOB NOT NULL,
  PRIMARY KEY (key, sequence DESC)
) STRICT, WITHOUT ROWID`;

const columns = "SELECT key, sequence, checksum, record FROM run";
const columnsWithoutKey = "SELECT sequence, checksum, record FROM run";

/** The real Tables. Stateless: the files are all there is. */
export class SqliteTables implements Tables {
  begin(path: string): TableBuilder {
    return new SqliteTableBuilder(path);
  }

  open(path: string): Table {
    return new SqliteTable(path);
  }
}

/**
 * One transaction. SQLite writes pages while rows come in, whenever its cache (2 MB) is full, so that what is left for
 * the end costs 2 ms, however long the run.
 */
class SqliteTableBuilder implements TableBuilder {
  readonly #path: string;
  /** Undefined once the file is complete, or abandoned. */
  #database: Database | undefined;
  #insert: Statement | undefined;
  /** Told about the sync that is under way. */
  #done: ((error?: Error) => void) | undefined;
  /** Opened before that sync began: the system reports a failed write to each descriptor once. */
  #descriptor: number | undefined;

  constructor(path: string) {
    this.#path = path;
    this.#attempt(() => {
      rmSync(path, { force: true });
      try {
        this.#begin();
      } catch (error) {
        this.abandon();
        throw error;
      }
    });
  }

  add({ key, sequence, record }: Row): void {
    try {
      this.#insert!.run(key, sequence, checksumOf(key, sequence, record), record);
    } catch (error) {
      throw failure("build", this.#path, error);
    }
  }

  finish(done: (error?: Error) => void): void {
    this.#attempt(() => {
      this.#complete();
      const descriptor = openSync(this.#path, "r+");
      this.#descriptor = openSync(this.#path, "r+");
      this.#done = done;
      fsync(descriptor, (error) => {
        closeSync(descriptor);
        this.#closeDescriptor();
        const told = this.#done;
        this.#done = undefined;
        told?.(error === null ? undefined : failure("build", this.#path, error));
      });
    });
  }

  finishNow(): void {
    this.#done = undefined;
    this.#attempt(() => {
      if (this.#database !== undefined) this.#complete();
      this.#descriptor ??= openSync(this.#path, "r+");
      fsyncSync(this.#descriptor);
      this.#closeDescriptor();
    });
  }

  abandon(): void {
    this.#done = undefined;
    // Half a run is of no use, and on a full disk its space is; the next open of the store tries again.
    try {
      this.#closeDatabase();
      rmSync(this.#path, { force: true });
    } catch {}
  }

  #begin(): void {
    const database = new Database(this.#path, { create: true, readwrite: true, strict: true });
    this.#database = database;
    // Bun's SQLite ignores OFF (it runs in defensive mode) and would keep a journal beside the run, for a crash to
    // leave behind. In memory it is empty, since nothing in the file is older than the transaction.
    database.run("PRAGMA journal_mode=MEMORY");
    database.run("PRAGMA synchronous=OFF");
    database.run("BEGIN EXCLUSIVE");
    database.run(schema);
    this.#insert = database.prepare("INSERT INTO run VALUES (?, ?, ?, ?)");
  }

  #complete(): void {
    assert(this.#database !== undefined, "a run is completed once");
    this.#database.run("COMMIT");
    this.#closeDatabase();
  }

  #closeDatabase(): void {
    const database = this.#database;
    this.#database = undefined;
    // Both, since a statement that lives on after a plain close() keeps SQLite's lock on the file.
    this.#insert?.finalize();
    database?.close(true);
  }

  #closeDescriptor(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }

  #attempt(run: () => void): void {
    try {
      run();
    } catch (error) {
      throw failure("build", this.#path, error);
    }
  }
}

/** See the top of the file. Two native calls cost 0.2 us; joining key and record first would cost twice as much. */
function checksumOf(key: Bytes, sequence: number, record: Bytes): number {
  const high = Math.floor(sequence / 2 ** 32);
  const seed = sequence ^ Math.imul(high, 0x9e3779b1) ^ Math.imul(key.length + 1, 0x85ebca6b);
  return crc32(record, crc32(key, seed >>> 0)) | 0;
}

/** `immutable=1` promises SQLite that nobody writes: no lock calls, a point read in 2.5 instead of 11 us. */
function immutableUri(path: string): string {
  const encoded = path.split("/").map(encodeURIComponent).join("/");
  return `file:${path.startsWith("/") ? "//" : ""}${encoded}?immutable=1`;
}

/** A row as it is stored. */
interface StoredRow extends Row {
  readonly checksum: number;
}

type RowStatement = Statement<StoredRow, (Bytes | number)[]>;

class SqliteTable implements Table {
  readonly #path: string;
  readonly #database: Database;
  readonly #statements: RowStatement[] = [];
  readonly #newest: RowStatement;
  readonly #newestAt: RowStatement;
  readonly #versions: RowStatement;
  readonly #first: RowStatement;
  readonly #olderVersions: RowStatement;
  readonly #keysFrom: RowStatement;
  readonly #keysAfter: RowStatement;
  readonly #last: RowStatement;
  readonly #newerVersions: RowStatement;
  readonly #keysTo: RowStatement;
  readonly #keysBefore: RowStatement;

  constructor(path: string) {
    this.#path = path;
    try {
      this.#database = new Database(
        immutableUri(path),
        constants.SQLITE_OPEN_READONLY | constants.SQLITE_OPEN_URI,
      );
    } catch (error) {
      throw failure("open", path, error);
    }
    const forward = "ORDER BY key, sequence DESC LIMIT ?";
    const backward = "ORDER BY key DESC, sequence LIMIT ?";
    try {
      // Without ORDER BY, which would cost 4 us: the primary key yields the newest version first anyway.
      // The key is not read back: the checksum says that the row is of the key that was asked for.
      this.#newest = this.#prepare("WHERE key = ?", columnsWithoutKey);
      this.#newestAt = this.#prepare(
        "WHERE key = ? AND sequence <= ? ORDER BY sequence DESC LIMIT 1",
        columnsWithoutKey,
      );
      this.#versions = this.#prepare("WHERE key = ? AND sequence <= ? ORDER BY sequence DESC");
      this.#first = this.#prepare(forward);
      this.#olderVersions = this.#prepare("WHERE key = ? AND sequence < ? ORDER BY sequence DESC LIMIT ?");
      this.#keysFrom = this.#prepare(`WHERE key >= ? ${forward}`);
      this.#keysAfter = this.#prepare(`WHERE key > ? ${forward}`);
      this.#last = this.#prepare(backward);
      this.#newerVersions = this.#prepare("WHERE key = ? AND sequence > ? ORDER BY sequence LIMIT ?");
      this.#keysTo = this.#prepare(`WHERE key <= ? ${backward}`);
      this.#keysBefore = this.#prepare(`WHERE key < ? ${backward}`);
    } catch (error) {
      this.close();
      throw failure("open", path, error);
    }
  }

  get(key: Bytes, sequence: number): Row | undefined {
    try {
      const row = sequence === Infinity ? this.#newest.get(key) : this.#newestAt.get(key, sequence);
      return row === null ? undefined : this.#checked(row, key);
    } catch (error) {
      throw failure("read", this.#path, error);
    }
  }

  versions(key: Bytes, sequence: number): Row[] {
    return this.#guard(() => this.#allChecked(this.#versions.all(key, numberFor(sequence))));
  }

  forward(after: Position | undefined, most: number): Row[] {
    return this.#guard(() => {
      if (after === undefined) return this.#allChecked(this.#first.all(most));
      if (after.sequence === Infinity) return this.#allChecked(this.#keysFrom.all(after.key, most));
      if (after.sequence < 0) return this.#allChecked(this.#keysAfter.all(after.key, most));
      // Two walks along the primary key; one query with OR would read and sort the rest of the table.
      const rows = this.#olderVersions.all(after.key, after.sequence, most);
      if (rows.length < most) rows.push(...this.#keysAfter.all(after.key, most - rows.length));
      return this.#allChecked(rows);
    });
  }

  backward(before: Position | undefined, most: number): Row[] {
    return this.#guard(() => {
      if (before === undefined) return this.#allChecked(this.#last.all(most));
      if (before.sequence === Infinity) return this.#allChecked(this.#keysBefore.all(before.key, most));
      if (before.sequence < 0) return this.#allChecked(this.#keysTo.all(before.key, most));
      const rows = this.#newerVersions.all(before.key, before.sequence, most);
      if (rows.length < most) rows.push(...this.#keysBefore.all(before.key, most - rows.length));
      return this.#allChecked(rows);
    });
  }

  close(): void {
    for (const statement of this.#statements) statement.finalize();
    this.#database.close(true);
  }

  #prepare(clause: string, selection = columns): RowStatement {
    const statement: RowStatement = this.#database.prepare(`${selection} ${clause}`);
    this.#statements.push(statement);
    return statement;
  }

  #guard<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      throw failure("read", this.#path, error);
    }
  }

  #allChecked(rows: StoredRow[]): Row[] {
    const checked: Row[] = rows;
    for (let at = 0; at < rows.length; at++) checked[at] = this.#checked(rows[at]!, rows[at]!.key);
    return checked;
  }

  /** A damaged page may hold anything; what leaves here has the types it claims, and is what was built. */
  #checked({ sequence, checksum, record }: StoredRow, key: Bytes): Row {
    if (!(key instanceof Uint8Array && record instanceof Uint8Array && Number.isSafeInteger(sequence)))
      throw this.#damaged("a row holds values of another type");
    if (checksum !== checksumOf(key, sequence, record))
      throw this.#damaged("the checksum of a row does not match");
    return { key, sequence, record };
  }

  #damaged(what: string): KvraftError {
    return new KvraftError("CORRUPTION", damaged("read", this.#path, what));
  }
}

/** SQLite compares its integers with the largest that JavaScript can send as an integer. */
function numberFor(sequence: number): number {
  return sequence === Infinity ? Number.MAX_SAFE_INTEGER : sequence;
}

const sqliteError = 1;
const sqliteFull = 13;
const sqliteCorrupt = 11;
const sqliteNotADatabase = 26;
const sqliteShortRead = 522;

function failure(action: string, path: string, error: unknown): Error {
  if (error instanceof SQLiteError) return sqliteFailure(action, path, error);
  const code = (error as { code?: unknown } | undefined)?.code;
  // What has no code of the system, and what the caller's rows threw, is not about this file.
  if (error instanceof KvraftError || typeof code !== "string") {
    assert(error instanceof Error, "what is thrown is an Error");
    return error;
  }
  const kind: ErrorCode = code === "ENOSPC" || code === "EDQUOT" ? "NO_SPACE" : "IO_ERROR";
  return new KvraftError(kind, `Cannot ${action} run "${path}": ${messageOf(error)}`, { cause: error });
}

function sqliteFailure(action: string, path: string, error: SQLiteError): KvraftError {
  const cause = { cause: error };
  const primary = error.errno & 0xff;
  if (primary === sqliteFull)
    return new KvraftError(
      "NO_SPACE",
      `Cannot ${action} run "${path}": the disk is full; free some space and start again`,
      cause,
    );
  const isDamage =
    primary === sqliteCorrupt ||
    primary === sqliteNotADatabase ||
    primary === sqliteError || // The table is missing, or has other columns.
    error.errno === sqliteShortRead;
  if (action !== "build" && isDamage)
    return new KvraftError("CORRUPTION", damaged(action, path, error.message), cause);
  return new KvraftError("IO_ERROR", `Cannot ${action} run "${path}": ${error.message}`, cause);
}

function damaged(action: string, path: string, what: string): string {
  const advice = "restore the folder from a backup or replace this node";
  return `Cannot ${action} run "${path}": the file is damaged (${what}); ${advice}`;
}
