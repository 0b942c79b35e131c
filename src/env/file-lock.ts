/**
 * A lock file that one process holds: an SQLite file under `begin exclusive`. The system drops the lock with the process,
 * however that ends.
 *
 * SQLite opens a file that it may not write read-only, and then `begin exclusive` succeeds and excludes nobody. So the
 * file is examined before, and the lock is proved after: a second connection must be refused.
 */
import { Database } from "bun:sqlite";
import * as fs from "node:fs";
import { KvraftError } from "../lib/error.ts";
import type { DiskLock } from "./disk.ts";

/** Locks that are held. Bun closes a database that nothing refers to, and the lock would go with it. */
const heldLocks = new Set<Database>();

/**
 * Undefined when the lock is held, by this process or by another one. Throws a KvraftError for a file that cannot be a
 * lock, and what SQLite throws.
 */
export function lockFile(path: string): DiskLock | undefined {
  const before = fs.lstatSync(path, { throwIfNoEntry: false });
  if (before !== undefined) {
    checkKind(path, before);
    checkRights(path, before);
  }
  const database = beginExclusive(path);
  if (database === undefined) return undefined;
  heldLocks.add(database);
  return new FileLock(database);
}

class FileLock implements DiskLock {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  release(): void {
    if (!heldLocks.delete(this.#database)) return;
    this.#database.run("rollback");
    this.#database.close(true);
  }
}

function beginExclusive(path: string): Database | undefined {
  const database = new Database(path, { readwrite: true, create: true });
  try {
    // A journal on disk would be one more file that a full disk has no room for.
    database.run("PRAGMA journal_mode=MEMORY");
    database.run("begin exclusive");
    if (!excludesOthers(path))
      throw unusable(path, "SQLite cannot write to it, so it would exclude nobody", rightsAdvice);
    return database;
  } catch (error) {
    database.close(true);
    if (isBusy(error)) return undefined;
    throw error;
  }
}

/**
 * The system drops the locks of a process on a file when the process closes any descriptor of that file. So only SQLite
 * opens the file here: it keeps such a descriptor open until the lock is released.
 */
function excludesOthers(path: string): boolean {
  const probe = new Database(path, { readonly: true });
  try {
    probe.run("begin immediate");
    return false;
  } catch (error) {
    if (isBusy(error)) return true;
    throw error;
  } finally {
    probe.close(true);
  }
}

/** Two servers that follow a link may arrive at two files, and nobody can lock a folder or a pipe. */
function checkKind(path: string, found: fs.Stats): void {
  if (found.isFile()) {
    if (found.size === 0) return;
    throw unusable(path, `it has ${found.size} bytes, and a lock file of kvraft is empty`, removeAdvice);
  }
  throw unusable(path, `it is ${kindOf(found)}, and must be an ordinary file`, removeAdvice);
}

function checkRights(path: string, { uid, mode }: fs.Stats): void {
  try {
    fs.accessSync(path, fs.constants.R_OK | fs.constants.W_OK);
  } catch (error) {
    const isReadOnlyDisk = (error as { code?: unknown }).code === "EROFS";
    if (isReadOnlyDisk)
      throw unusable(
        path,
        "its file system is read-only, so the lock would exclude nobody",
        "use a copy of the whole folder on a disk that can be written",
      );
    const rights = (mode & 0o7777).toString(8).padStart(4, "0");
    const user = process.geteuid?.() ?? "another one";
    const found = `it belongs to user ${uid} with mode ${rights}, and this process (user ${user}) may not write it`;
    throw unusable(path, `${found}, so the lock would exclude nobody`, rightsAdvice);
  }
}

const rightsAdvice =
  "run as the user that owns the data folder, or give this user the whole folder (chown -R)";
const removeAdvice = "make sure that no server uses the folder, remove it, and try again";

function unusable(path: string, found: string, advice: string): KvraftError {
  return new KvraftError("IO_ERROR", `Cannot lock "${path}": ${found}; ${advice}`);
}

function kindOf(found: fs.Stats): string {
  if (found.isSymbolicLink()) return "a symbolic link";
  if (found.isDirectory()) return "a folder";
  if (found.isFIFO()) return "a named pipe";
  if (found.isSocket()) return "a socket";
  return "a device";
}

function isBusy(error: unknown): boolean {
  return (error as { code?: unknown } | undefined)?.code === "SQLITE_BUSY";
}
