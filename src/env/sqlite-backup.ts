/**
 * Backups as SQLite files. What they hold is the business of backup/FORMAT.md; here they are two tables that every SQLite
 * tool reads:
 *
 *     CREATE TABLE kv (key BLOB PRIMARY KEY, value BLOB NOT NULL, created INTEGER NOT NULL, modified INTEGER NOT NULL,
 *                      count INTEGER NOT NULL) WITHOUT ROWID
 *     CREATE TABLE backup (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID
 */
import { constants, Database, SQLiteError, type Statement } from "bun:sqlite";
import * as fs from "node:fs";
import { dirname } from "node:path";
import type { Bytes } from "../lib/bytes.ts";
import { type ErrorCode, KvraftError, messageOf } from "../lib/error.ts";

/** A row of `kv`. */
export interface BackupRow {
  readonly key: Bytes;
  readonly value: Bytes;
  readonly created: number;
  readonly modified: number;
  readonly count: number;
}

/** The rows of `backup`. */
export type BackupFields = ReadonlyMap<string, string | number>;

const schema = [
  "CREATE TABLE kv (key BLOB PRIMARY KEY, value BLOB NOT NULL, created INTEGER NOT NULL, modified INTEGER NOT NULL, " +
    "count INTEGER NOT NULL) WITHOUT ROWID",
  "CREATE TABLE backup (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID",
];
/** "KVBK": for tools that tell what kind of file it is. */
const applicationId = 0x4b56_424b;
/** A row of up to a quarter of this stays in one piece. */
const pageBytes = 16_384;
const cacheKib = 2048;
/** What was written is synced after so many bytes: a server on the same disk waits behind a small sync only. */
const syncEveryBytes = 4 * 1024 * 1024;

/**
 * Writes a backup under the name FILE.part, and gives it its name when it is complete and durable. A file of that name is
 * never replaced. After one of the calls has thrown, only `abandon` may follow.
 */
export class SqliteBackupWriter {
  readonly #path: string;
  readonly #partPath: string;
  #database: Database | undefined;
  #insert: Statement | undefined;
  /** Opened before anything is written: the system reports a failed write to each descriptor once. */
  #descriptor: number | undefined;
  #unsyncedBytes = 0;

  /**
   * EXISTS when there is a file of the name, or one with the name of its part that is none; LOCKED when another process
   * writes one. A part that was left is replaced.
   */
  constructor(path: string) {
    this.#path = path;
    this.#partPath = `${path}.part`;
    this.#attempt(() => {
      checkNewFile(path);
      if (fs.existsSync(this.#partPath)) removeLeftPart(this.#partPath);
      try {
        this.#begin();
      } catch (error) {
        this.abandon();
        throw error;
      }
    });
  }

  /** The next row, in the order of the keys. Its bytes are the caller's again when it returns. */
  add({ key, value, created, modified, count }: BackupRow): void {
    this.#attempt(() => {
      this.#insert!.run(key, value, created, modified, count);
      this.#unsyncedBytes += key.length + value.length;
      if (this.#unsyncedBytes < syncEveryBytes) return;
      this.#unsyncedBytes = 0;
      fs.fdatasyncSync(this.#descriptor!);
    });
  }

  /** Completes the file: it is there and durable when this returns. */
  finish(fields: BackupFields): void {
    this.#attempt(() => {
      const database = this.#database!;
      const insert = database.prepare("INSERT INTO backup VALUES (?, ?)");
      for (const [name, value] of fields) insert.run(name, value);
      insert.finalize();
      database.run("COMMIT");
      this.#closeDatabase();
      fs.fsyncSync(this.#descriptor!);
      this.#closeDescriptor();
      this.#giveName();
    });
  }

  /** Lets go of the file, and removes it if that can be done. Throws nothing. */
  abandon(): void {
    const isOurs = this.#database !== undefined || this.#descriptor !== undefined;
    try {
      this.#closeDatabase();
      this.#closeDescriptor();
      if (isOurs) fs.rmSync(this.#partPath, { force: true });
    } catch {}
  }

  #begin(): void {
    const database = new Database(this.#partPath, { create: true, readwrite: true, strict: true });
    this.#database = database;
    database.run(`PRAGMA page_size=${pageBytes}`);
    database.run(`PRAGMA cache_size=-${cacheKib}`);
    // As for runs (sqlite-tables.ts): nothing in the file is older than the transaction, so there is nothing to keep.
    database.run("PRAGMA journal_mode=MEMORY");
    database.run("PRAGMA synchronous=OFF");
    database.run(`PRAGMA application_id=${applicationId}`);
    database.run("BEGIN EXCLUSIVE");
    for (const statement of schema) database.run(statement);
    this.#insert = database.prepare("INSERT INTO kv VALUES (?, ?, ?, ?, ?)");
    this.#descriptor = fs.openSync(this.#partPath, "r+");
  }

  /** A link, unlike a rename, replaces nothing, whoever has come meanwhile. */
  #giveName(): void {
    try {
      fs.linkSync(this.#partPath, this.#path);
      fs.unlinkSync(this.#partPath);
    } catch (error) {
      checkNewFile(this.#path);
      if (!hasNoLinks(error)) throw error;
      fs.renameSync(this.#partPath, this.#path);
    }
    syncFolder(dirname(this.#path));
  }

  #closeDatabase(): void {
    const [database, insert] = [this.#database, this.#insert];
    this.#database = undefined;
    this.#insert = undefined;
    insert?.finalize();
    database?.close(true);
  }

  #closeDescriptor(): void {
    if (this.#descriptor !== undefined) fs.closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }

  #attempt(run: () => void): void {
    try {
      run();
    } catch (error) {
      throw failure("write", this.#path, error);
    }
  }
}

/** EXISTS when there is a file of this name. */
export function checkNewFile(path: string): void {
  if (!fs.existsSync(path)) return;
  throw new KvraftError(
    "EXISTS",
    `Cannot write the backup "${path}": the file exists, and no backup is ever overwritten; choose another name`,
  );
}

/** Reads a backup, whose file nobody changes meanwhile. CORRUPTION for what is damaged, or no backup at all. */
export class SqliteBackupReader {
  readonly path: string;
  readonly #database: Database;

  /** NOT_FOUND when there is no such file. */
  constructor(path: string) {
    this.path = path;
    if (!fs.existsSync(path))
      throw new KvraftError("NOT_FOUND", `Cannot read the backup "${path}": there is no such file`);
    this.#database = this.#attempt(() => {
      const flags = constants.SQLITE_OPEN_READONLY | constants.SQLITE_OPEN_URI;
      return new Database(immutableUri(path), flags);
    });
  }

  /** All that stands in `backup`, with what each value is. */
  fields(): Map<string, unknown> {
    return this.#attempt(() => {
      const statement = this.#database.prepare<{ name: unknown; value: unknown }, []>(
        "SELECT name, value FROM backup ORDER BY name",
      );
      const rows = statement.all();
      statement.finalize();
      return new Map(rows.map(({ name, value }) => [String(name), value]));
    });
  }

  /** All rows of `kv` in the order of their keys. A damaged page may hold anything: the values may be of any type. */
  *rows(): Generator<{ readonly [Column in keyof BackupRow]: unknown }> {
    const statement = this.#attempt(() =>
      this.#database.prepare<{ [Column in keyof BackupRow]: unknown }, []>(
        "SELECT key, value, created, modified, count FROM kv ORDER BY key",
      ),
    );
    try {
      const iterator = statement.iterate();
      for (;;) {
        const next = this.#attempt(() => iterator.next());
        if (next.done) return;
        yield next.value;
      }
    } finally {
      statement.finalize();
    }
  }

  close(): void {
    this.#database.close();
  }

  #attempt<T>(run: () => T): T {
    try {
      return run();
    } catch (error) {
      throw failure("read", this.path, error);
    }
  }
}

/** A part that nobody writes to any more: an interrupted run has left it. EXISTS when it is somebody's other file. */
function removeLeftPart(path: string): void {
  if (!isPart(path))
    throw new KvraftError(
      "EXISTS",
      `Cannot write "${path}": the file exists, and is no part of a backup; move it away, or choose another name`,
    );
  let database: Database | undefined;
  try {
    database = new Database(path, { readwrite: true, create: false });
    database.run("BEGIN EXCLUSIVE");
    database.run("ROLLBACK");
  } catch (error) {
    if (error instanceof SQLiteError && (error.errno & 0xff) === sqliteBusy)
      throw new KvraftError(
        "LOCKED",
        `Cannot write "${path}": another process is writing it; choose another name, or wait for its end`,
      );
    // No database yet: whoever made it came no further.
  } finally {
    database?.close(true);
  }
  fs.rmSync(path, { force: true });
}

/** Whether a backup was begun in the file: it says so from its first bytes on, unless a crash has left none of them. */
function isPart(path: string): boolean {
  const head = Buffer.alloc(sqliteHeaderBytes);
  const descriptor = fs.openSync(path, "r");
  try {
    fs.readSync(descriptor, head, 0, head.length, 0);
  } finally {
    fs.closeSync(descriptor);
  }
  if (head.every((byte) => byte === 0)) return true;
  return (
    head.toString("latin1", 0, sqliteMagic.length) === sqliteMagic && head.readUInt32BE(68) === applicationId
  );
}

/** `immutable=1` promises SQLite that nobody writes: it looks for no journal beside the file, and takes no lock. */
function immutableUri(path: string): string {
  const encoded = path.split("/").map(encodeURIComponent).join("/");
  return `file:${path.startsWith("/") ? "//" : ""}${encoded}?immutable=1`;
}

function syncFolder(path: string): void {
  const descriptor = fs.openSync(path, "r");
  try {
    fs.fsyncSync(descriptor);
  } finally {
    fs.closeSync(descriptor);
  }
}

const sqliteMagic = "SQLite format 3\0";
const sqliteHeaderBytes = 100;
const sqliteError = 1;
const sqliteBusy = 5;
const sqliteCorrupt = 11;
const sqliteFull = 13;
const sqliteNotADatabase = 26;
const damageCodes = [sqliteError, sqliteCorrupt, sqliteNotADatabase];
const sqliteShortRead = 522;

function hasNoLinks(error: unknown): boolean {
  const code = (error as { code?: unknown } | undefined)?.code;
  return (
    code === "EPERM" || code === "ENOTSUP" || code === "EOPNOTSUPP" || code === "ENOSYS" || code === "EMLINK"
  );
}

function failure(action: "read" | "write", path: string, error: unknown): unknown {
  if (error instanceof KvraftError) return error;
  const cause = { cause: error };
  if (error instanceof SQLiteError) {
    const primary = error.errno & 0xff;
    if (action === "read" && (damageCodes.includes(primary) || error.errno === sqliteShortRead))
      return new KvraftError(
        "CORRUPTION",
        `Cannot read the backup "${path}": it is damaged, or no backup (${error.message}); use another one`,
        cause,
      );
    const code: ErrorCode = primary === sqliteFull ? "NO_SPACE" : "IO_ERROR";
    const advice = code === "NO_SPACE" ? "free space on that disk" : "check the disk and the path";
    return new KvraftError(
      code,
      `Cannot ${action} the backup "${path}": ${error.message} (${error.code ?? error.errno}); ${advice}`,
      cause,
    );
  }
  const code = (error as { code?: unknown } | undefined)?.code;
  if (typeof code !== "string") return error;
  const kind: ErrorCode = code === "ENOSPC" || code === "EDQUOT" ? "NO_SPACE" : "IO_ERROR";
  return new KvraftError(
    kind,
    `Cannot ${action} the backup "${path}": ${messageOf(error)}; check the disk and the path`,
    cause,
  );
}
