import type { Bytes } from "../lib/bytes.ts";

/**
 * Files and folders. What was not synced may be lost in a crash, in whole or in part, and so may the name of a
 * file whose folder was not synced. Every failure is a KvraftError with code IO_ERROR, NO_SPACE or NOT_FOUND that
 * names the action and the path.
 */
export interface Disk {
  /** Creates the folder and its parents; an existing one is fine. Its name, and theirs, are durable when it returns. */
  createFolder(path: string): void;
  /** The names of the files in a folder, sorted; none when it does not exist. */
  list(path: string): string[];
  exists(path: string): boolean;
  /** The whole content, or undefined when there is no such file. For small files. */
  read(path: string): Bytes | undefined;
  /** Opens a file for reading and writing at offsets; `create` makes it, and fails when it exists. */
  open(path: string, mode: "create" | "write" | "read"): DiskFile;
  /** Not durable before `syncFolder`. */
  rename(from: string, to: string): void;
  /** Removes a file; a missing one is fine. Not durable before `syncFolder`. */
  remove(path: string): void;
  /** Makes creations, renames and removals in this folder durable. */
  syncFolder(path: string): void;
  /**
   * Takes the lock file for as long as this process lives, or returns undefined when it is held. Throws when the lock
   * would exclude nobody: a file that this user may not write, a link, a read-only disk.
   */
  lock(path: string): DiskLock | undefined;
}

export interface DiskFile {
  /** Bytes in the file now. */
  size(): number;
  /** Up to `length` bytes from `offset`; fewer at the end of the file. */
  read(offset: number, length: number): Bytes;
  /** Writes all bytes at the offset; not durable before `sync`. */
  write(offset: number, bytes: Bytes): void;
  sync(): void;
  /**
   * Writes all bytes at the offset beside the event loop; they are durable when `done` runs without an error. The
   * caller leaves `bytes` alone until then. Never calls `done` before returning.
   */
  writeDurably(offset: number, bytes: Bytes, done: (error?: Error) => void): void;
  /** A file that is closed while a write is under way stays open until the write ends. */
  close(): void;
}

export interface DiskLock {
  release(): void;
}
