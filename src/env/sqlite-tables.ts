/**
 * Tables as SQLite files: one table of blocks by number, written once, in order, and then only read.
 *
 *     CREATE TABLE block (number INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT
 *
 * A page has 4,096 bytes and takes one block of up to `pageBlockBytes`; a larger block goes on in pages of its own.
 * A file is built without a journal on disk, because one that was not finished is never looked at again.
 */
import { constants, Database, SQLiteError, type Statement } from "bun:sqlite";
import { closeSync, fdatasyncSync, fsyncSync, openSync, rmSync, statSync } from "node:fs";
import { assert } from "../lib/assert.ts";
import type { Bytes } from "../lib/bytes.ts";
import { type ErrorCode, KvraftError, messageOf, replaceNodeAdvice } from "../lib/error.ts";
import { descriptorLimit } from "./descriptor-limit.ts";
import { codeOf } from "./error-code.ts";
import { type Closable, OpenTables, openTablesMaxOf } from "./open-tables.ts";
import type { Table, TableBuilder, Tables } from "./tables.ts";

const schema = "CREATE TABLE block (number INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT";

/** KiB of pages that SQLite keeps when it builds a file, before it writes them. */
const builderCacheKib = 512;
const pageBytes = 4096;
/**
 * Pages that it keeps of a file that is read: the inner ones, of which each leads to so many blocks, and a few more. For
 * less than three it takes no memory in advance, and so it is with a file that was only opened: hundreds may be.
 */
const blocksPerInnerPage = 450;
const otherPages = 4;
const readerPagesMin = 8;
const readerPagesMax = 48;
const unreadPages = 2;
/** Filter, index and footer are read of each file, and of most files more than that. */
const readsOfUnread = 8;
/**
 * What was written is synced after so many bytes: the log of the same disk waits behind a small sync, never behind
 * that of a whole file.
 */
const syncEveryBytes = 4 * 1024 * 1024;
/**
 * What a thread reads is garbage soon, outside of its heap, and the collector waits until there is as much of it as
 * there are memtables, and more. It is called after so many bytes, and does its work beside the thread, at the ends of
 * its turns. A loop that never turns is left to it: to wait for a collection each time would cost a get 2.5 us more.
 */
const collectEveryBytes = 32 * 1024 * 1024;
let uncollectedBytes = 0;

/** The real Tables of one thread. */
export class SqliteTables implements Tables {
  readonly #open: OpenTables;

  /** So many files are open at a time. */
  constructor(openMax = openTablesMaxOf(descriptorLimit())) {
    this.#open = new OpenTables(openMax);
  }

  begin(path: string): TableBuilder {
    return withRoom(this.#open, () => new SqliteTableBuilder(path));
  }

  open(path: string): Table {
    return new SqliteTable(path, this.#open);
  }
}

/** Tries it once more with fewer files open when the system has no descriptor for it. */
function withRoom<Made>(open: OpenTables, make: () => Made): Made {
  try {
    return make();
  } catch (error) {
    if (!isOutOfDescriptors(error) || !open.shrink()) throw error;
    return make();
  }
}

/** SQLite does not say why it cannot open a file. */
function isOutOfDescriptors(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined;
  if (cause instanceof SQLiteError) return (cause.errno & 0xff) === sqliteCannotOpen;
  return ["EMFILE", "ENFILE"].includes(codeOf(cause) ?? "");
}

/** One transaction. SQLite writes pages while blocks come in, whenever its cache is full. */
class SqliteTableBuilder implements TableBuilder {
  readonly #path: string;
  /** Undefined once the file is complete, or abandoned. */
  #database: Database | undefined;
  #insert: Statement | undefined;
  /** Opened before anything is written: the system reports a failed write to each descriptor once. */
  #descriptor: number | undefined;
  #blocks = 0;
  #unsyncedBytes = 0;

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

  add(block: Bytes): void {
    assert(this.#insert !== undefined, "blocks come before the end");
    try {
      this.#insert.run(this.#blocks++, block);
      this.#unsyncedBytes += block.length;
      if (this.#unsyncedBytes < syncEveryBytes) return;
      this.#unsyncedBytes = 0;
      fdatasyncSync(this.#descriptor!);
    } catch (error) {
      throw failure("build", this.#path, error);
    }
  }

  finish(): void {
    this.#attempt(() => {
      assert(this.#database !== undefined, "a file is completed once");
      this.#database.run("COMMIT");
      this.#closeDatabase();
      fsyncSync(this.#descriptor!);
      this.#closeDescriptor();
    });
  }

  abandon(): void {
    // Half a file is of no use, and on a full disk its space is; the next open of the store tries again.
    try {
      this.#closeDatabase();
      this.#closeDescriptor();
      rmSync(this.#path, { force: true });
    } catch {}
  }

  #begin(): void {
    const database = new Database(this.#path, { create: true, readwrite: true, strict: true });
    this.#database = database;
    database.run(`PRAGMA page_size=${pageBytes}`);
    database.run(`PRAGMA cache_size=-${builderCacheKib}`);
    // Bun's SQLite ignores OFF (it runs in defensive mode) and would keep a journal beside the file, for a crash to
    // leave behind. In memory it is empty, since nothing in the file is older than the transaction.
    database.run("PRAGMA journal_mode=MEMORY");
    database.run("PRAGMA synchronous=OFF");
    database.run("BEGIN EXCLUSIVE");
    database.run(schema);
    this.#insert = database.prepare("INSERT INTO block VALUES (?, ?)");
    this.#descriptor = openSync(this.#path, "r+");
  }

  #closeDatabase(): void {
    const database = this.#database;
    const insert = this.#insert;
    this.#database = undefined;
    this.#insert = undefined;
    // Both, since a statement that lives on after a plain close() keeps SQLite's lock on the file.
    insert?.finalize();
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

/** `immutable=1` promises SQLite that nobody writes: no lock calls, which would cost more than the read. */
function immutableUri(path: string): string {
  const encoded = path.split("/").map(encodeURIComponent).join("/");
  return `file:${path.startsWith("/") ? "//" : ""}${encoded}?immutable=1`;
}

/** A file that is open, with what it takes to read it. */
interface OpenFile {
  readonly database: Database;
  readonly select: Statement<{ bytes: unknown }, [number]>;
  /** Pages that SQLite keeps when the file is read much. */
  readonly pages: number;
  reads: number;
}

class SqliteTable implements Table, Closable {
  lastUse = 0;
  readonly #path: string;
  readonly #open: OpenTables;
  /** Undefined while others need the descriptor more. */
  #file: OpenFile | undefined;

  constructor(path: string, open: OpenTables) {
    this.#path = path;
    this.#open = open;
    this.#file = this.#openFile();
  }

  block(number: number): Bytes {
    const file = this.#file ?? this.#openFile();
    this.#file = file;
    this.#open.used(this);
    let row: { bytes: unknown } | null;
    try {
      if (file.reads++ === readsOfUnread) file.database.run(`PRAGMA cache_size=${file.pages}`);
      row = file.select.get(number);
    } catch (error) {
      throw failure("read", this.#path, error);
    }
    // A damaged page may hold anything; what leaves here has the type it claims.
    if (row?.bytes instanceof Uint8Array) {
      countGarbage(row.bytes.length);
      return row.bytes;
    }
    const what = row === null ? `block ${number} is missing` : `block ${number} is of another type`;
    throw new KvraftError("CORRUPTION", damaged("read", this.#path, what));
  }

  close(): void {
    this.#open.delete(this);
    this.closeFile();
  }

  closeFile(): void {
    const file = this.#file;
    this.#file = undefined;
    file?.select.finalize();
    file?.database.close(true);
  }

  #openFile(): OpenFile {
    this.#open.makeRoom();
    const file = withRoom(this.#open, () => openFile(this.#path));
    this.#open.add(this);
    return file;
  }
}

function openFile(path: string): OpenFile {
  let database: Database;
  try {
    const flags = constants.SQLITE_OPEN_READONLY | constants.SQLITE_OPEN_URI;
    database = new Database(immutableUri(path), flags);
  } catch (error) {
    throw failure("open", path, error);
  }
  try {
    const pages = readerPages(statSync(path).size);
    database.run(`PRAGMA cache_size=${unreadPages}`);
    // Before it could be told, it has taken memory for twenty.
    database.run("PRAGMA shrink_memory");
    const select = database.prepare<{ bytes: unknown }, [number]>("SELECT bytes FROM block WHERE number = ?");
    return { database, select, pages, reads: 0 };
  } catch (error) {
    database.close(true);
    throw failure("open", path, error);
  }
}

function countGarbage(bytes: number): void {
  uncollectedBytes += bytes;
  if (uncollectedBytes < collectEveryBytes) return;
  uncollectedBytes = 0;
  Bun.gc(false);
}

function readerPages(fileBytes: number): number {
  const innerPages = Math.ceil(fileBytes / pageBytes / blocksPerInnerPage);
  return Math.min(readerPagesMax, Math.max(readerPagesMin, innerPages + otherPages));
}

const sqliteError = 1;
const sqliteFull = 13;
const sqliteCorrupt = 11;
const sqliteCannotOpen = 14;
const sqliteNotADatabase = 26;
const sqliteShortRead = 522;

function failure(action: string, path: string, error: unknown): Error {
  if (error instanceof SQLiteError) return sqliteFailure(action, path, error);
  const code = (error as { code?: unknown } | undefined)?.code;
  // What has no code of the system is not about this file.
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
  // The message is the same for all that may go wrong with a file; the code says whether it was a write, a read or else.
  const what = `${error.message} (${error.code ?? error.errno})`;
  return new KvraftError("IO_ERROR", `Cannot ${action} run "${path}": ${what}`, cause);
}

function damaged(action: string, path: string, what: string): string {
  return `Cannot ${action} run "${path}": the file is damaged (${what}); ${replaceNodeAdvice}`;
}
