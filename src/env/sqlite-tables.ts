/**
 * Sorted runs as SQLite files: one table `run`, clustered by (key, sequence descending), written once and then only
 * read. A run is built without a journal, because a run that was not finished is never looked at again.
 */
import { constants, Database, SQLiteError, type Statement } from "bun:sqlite";
import { closeSync, fsyncSync, openSync, rmSync } from "node:fs";
import { assert } from "../lib/assert.ts";
import type { Bytes } from "../lib/bytes.ts";
import { type ErrorCode, KvraftError, messageOf } from "../lib/error.ts";
import type { Position, Row, Table, Tables } from "./tables.ts";

const schema = `CREATE TABLE run (
  key BLOB NOT NULL, sequence INTEGER NOT NULL, record BLOB NOT NULL, PRIMARY KEY (key, sequence DESC)
) STRICT, WITHOUT ROWID`;

const columns = "SELECT key, sequence, record FROM run";

/** The real Tables. Stateless: the files are all there is. */
export class SqliteTables implements Tables {
  build(path: string, rows: Iterable<Row>): void {
    try {
      rmSync(path, { force: true });
      writeRows(path, rows);
      syncFile(path);
    } catch (error) {
      removeQuietly(path);
      throw failure("build", path, error);
    }
  }

  open(path: string): Table {
    return new SqliteTable(path);
  }
}

function writeRows(path: string, rows: Iterable<Row>): void {
  const database = new Database(path, { create: true, readwrite: true, strict: true });
  let insert: Statement | undefined;
  try {
    database.run("PRAGMA journal_mode=OFF");
    database.run("PRAGMA synchronous=OFF");
    database.run("BEGIN EXCLUSIVE");
    database.run(schema);
    insert = database.prepare("INSERT INTO run VALUES (?, ?, ?)");
    for (const row of rows) insert.run(row.key, row.sequence, row.record);
    database.run("COMMIT");
  } finally {
    // Both, since a statement that lives on after a plain close() keeps SQLite's lock on the file.
    insert?.finalize();
    database.close(true);
  }
}

/** Half a run is of no use, and on a full disk its space is; the failure that is being reported matters more. */
function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {}
}

function syncFile(path: string): void {
  const file = openSync(path, "r+");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** `immutable=1` promises SQLite that nobody writes: no lock calls, a point read in 2.5 instead of 11 us. */
function immutableUri(path: string): string {
  const encoded = path.split("/").map(encodeURIComponent).join("/");
  return `file:${path.startsWith("/") ? "//" : ""}${encoded}?immutable=1`;
}

type RowStatement = Statement<Row, (Bytes | number)[]>;

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
      this.#newest = this.#prepare("WHERE key = ?");
      this.#newestAt = this.#prepare("WHERE key = ? AND sequence <= ? ORDER BY sequence DESC LIMIT 1");
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
      return row === null ? undefined : this.#checked(row);
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

  #prepare(clause: string): RowStatement {
    const statement: RowStatement = this.#database.prepare(`${columns} ${clause}`);
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

  #allChecked(rows: Row[]): Row[] {
    for (const row of rows) this.#checked(row);
    return rows;
  }

  /** A damaged page may hold anything; what leaves here has the types it claims. */
  #checked(row: Row): Row {
    if (
      row.key instanceof Uint8Array &&
      row.record instanceof Uint8Array &&
      Number.isSafeInteger(row.sequence)
    )
      return row;
    throw new KvraftError("CORRUPTION", damaged("read", this.#path, "a row holds values of another type"));
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
