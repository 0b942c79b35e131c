import * as fs from "node:fs";
import { dirname, resolve } from "node:path";
import { assert } from "../lib/assert.ts";
import type { Bytes } from "../lib/bytes.ts";
import { type ErrorCode, KvraftError } from "../lib/error.ts";
import type { Disk, DiskFile, DiskLock } from "./disk.ts";
import { codeOf } from "./error-code.ts";
import { lockFile } from "./file-lock.ts";

const openFlags = {
  create: fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_EXCL,
  write: fs.constants.O_RDWR,
  read: fs.constants.O_RDONLY,
} as const;

/** The disk of this machine, on node:fs and bun:sqlite. */
export class BunDisk implements Disk {
  createFolder(path: string): void {
    const first = attempt("create the folder", path, () => fs.mkdirSync(path, { recursive: true }));
    // Of one that is there already nobody knows whether its maker lived long enough to sync its name. Where this user
    // may not look, somebody else has made it, long ago.
    const parent = dirname(resolve(path));
    if (first === undefined && !isReadable(parent)) return;
    const highest = dirname(resolve(first ?? path));
    for (let folder = parent; ; folder = dirname(folder)) {
      this.syncFolder(folder);
      if (folder === highest) return;
    }
  }

  list(path: string): string[] {
    return attempt("list the folder", path, () => {
      if (!fs.existsSync(path)) return [];
      const names: string[] = [];
      for (const item of fs.readdirSync(path, { withFileTypes: true })) {
        if (!item.isDirectory()) names.push(item.name);
      }
      return names.sort();
    });
  }

  exists(path: string): boolean {
    return fs.existsSync(path);
  }

  read(path: string): Bytes | undefined {
    return attempt("read", path, () => {
      try {
        return fs.readFileSync(path);
      } catch (error) {
        if (codeOf(error) === "ENOENT") return undefined;
        throw error;
      }
    });
  }

  open(path: string, mode: "create" | "write" | "read"): DiskFile {
    const action = mode === "create" ? "create" : "open";
    const descriptor = attempt(action, path, () => fs.openSync(path, openFlags[mode], 0o644));
    if (mode === "read") return new BunFile(path, descriptor, undefined);
    try {
      // Opened now and not at the first durable write: by then the file may have another name.
      const flags = fs.constants.O_WRONLY | fs.constants.O_DSYNC;
      const durable = attempt(action, path, () => fs.openSync(path, flags));
      return new BunFile(path, descriptor, durable);
    } catch (error) {
      fs.closeSync(descriptor);
      throw error;
    }
  }

  rename(from: string, to: string): void {
    attempt(`rename to "${to}"`, from, () => fs.renameSync(from, to));
  }

  remove(path: string): void {
    attempt("remove", path, () => fs.rmSync(path, { force: true }));
  }

  syncFolder(path: string): void {
    attempt("sync the folder", path, () => {
      const descriptor = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
      try {
        fs.fsyncSync(descriptor);
      } finally {
        fs.closeSync(descriptor);
      }
    });
  }

  lock(path: string): DiskLock | undefined {
    return attempt("lock", path, () => lockFile(path));
  }
}

/**
 * Two descriptors of one file: writes through `#durable` (O_DSYNC) are on the disk when they return, which spares
 * the second trip to the thread pool that a sync of its own would need.
 */
class BunFile implements DiskFile {
  readonly #path: string;
  readonly #descriptor: number;
  readonly #durable: number | undefined;
  #writesUnderWay = 0;
  #isClosed = false;

  constructor(path: string, descriptor: number, durable: number | undefined) {
    this.#path = path;
    this.#descriptor = descriptor;
    this.#durable = durable;
  }

  size(): number {
    assert(!this.#isClosed, "a file is used before it is closed");
    return attempt("get the size of", this.#path, () => fs.fstatSync(this.#descriptor).size);
  }

  read(offset: number, length: number): Bytes {
    assert(!this.#isClosed, "a file is used before it is closed");
    return attempt("read", this.#path, () => {
      const bytes = Buffer.allocUnsafeSlow(length);
      let done = 0;
      while (done < length) {
        const count = fs.readSync(this.#descriptor, bytes, done, length - done, offset + done);
        if (count === 0) break;
        done += count;
      }
      return bytes.subarray(0, done);
    });
  }

  write(offset: number, bytes: Bytes): void {
    assert(!this.#isClosed, "a file is used before it is closed");
    attempt("write", this.#path, () => {
      let done = 0;
      while (done < bytes.length) {
        const count = fs.writeSync(this.#descriptor, bytes, done, bytes.length - done, offset + done);
        if (count === 0) throw new Error("the system wrote nothing");
        done += count;
      }
    });
  }

  sync(): void {
    assert(!this.#isClosed, "a file is used before it is closed");
    attempt("sync", this.#path, () => fs.fsyncSync(this.#descriptor));
  }

  writeDurably(offset: number, bytes: Bytes, done: (error?: Error) => void): void {
    assert(!this.#isClosed, "a file is used before it is closed");
    assert(this.#durable !== undefined, "a file that is written was opened for writing");
    const descriptor = this.#durable;
    this.#writesUnderWay++;
    // The system may take a part only (a full disk, a limit, a signal): the rest follows, until an error ends it.
    const writeRest = (from: number): void => {
      fs.write(descriptor, bytes, from, bytes.length - from, offset + from, (error, count) => {
        if (error === null && from + count < bytes.length && count > 0) return writeRest(from + count);
        this.#writeEnded();
        if (error !== null) done(failure("write", this.#path, error));
        else if (from + count === bytes.length) done();
        else done(failure("write", this.#path, new Error("the system wrote nothing")));
      });
    };
    writeRest(0);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#writesUnderWay === 0) this.#closeDescriptors();
  }

  /** A number that was closed could name another file by the time the thread pool writes to it. */
  #writeEnded(): void {
    this.#writesUnderWay--;
    if (this.#isClosed && this.#writesUnderWay === 0) this.#closeDescriptors();
  }

  #closeDescriptors(): void {
    fs.closeSync(this.#descriptor);
    if (this.#durable !== undefined) fs.closeSync(this.#durable);
  }
}

function isReadable(folder: string): boolean {
  try {
    fs.accessSync(folder, fs.constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

function attempt<T>(action: string, path: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw error instanceof KvraftError ? error : failure(action, path, error);
  }
}

function failure(action: string, path: string, error: unknown): KvraftError {
  const found = error instanceof Error ? error.message : String(error);
  const [code, advice] = judge(codeOf(error));
  return new KvraftError(code, `Cannot ${action} "${path}": ${found}; ${advice}`, { cause: error });
}

function judge(systemCode: string | undefined): [ErrorCode, string] {
  switch (systemCode) {
    case "ENOSPC":
    case "EDQUOT":
    case "SQLITE_FULL":
      return ["NO_SPACE", "free space on that disk, or raise the quota, and start again"];
    case "ENOENT":
      return ["NOT_FOUND", "check the path and that nothing else removes files there"];
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return ["IO_ERROR", "give this user the right to read and write there"];
    case "EEXIST":
      return ["IO_ERROR", "it exists already; check that no other process uses the folder"];
    case "EMFILE":
    case "ENFILE":
      return ["IO_ERROR", "raise the limit of open files (ulimit -n)"];
    default:
      return ["IO_ERROR", "check the disk and the path, and start again"];
  }
}
