import type { Bytes } from "../lib/bytes.ts";

/**
 * Immutable files of numbered blocks: what a store's runs are made of. What the bytes of a block mean, and whether
 * they are the right ones, is the store's business. Failures are KvraftErrors (IO_ERROR, NO_SPACE, CORRUPTION).
 */
export interface Tables {
  /** Begins a file. One that an interrupted build has left at the path is replaced. */
  begin(path: string): TableBuilder;
  open(path: string): Table;
}

/** Up to so many bytes of a block fit into one page of the file, beside what SQLite keeps there. */
export const pageBlockBytes = 4056;

/**
 * A file under construction. Its name is durable only after Disk.syncFolder. After one of the calls has thrown, only
 * `abandon` may follow.
 */
export interface TableBuilder {
  /** Adds the next block, the first of which has number 0. Its bytes are the caller's again when it returns. */
  add(block: Bytes): void;
  /** Completes the file: its content is durable when it returns. For a thread that may wait for the disk. */
  finish(): void;
  /** Lets go of the file, and removes it if that can be done. Throws nothing. */
  abandon(): void;
}

/** An open file. Reads hold no transaction and no lock. */
export interface Table {
  /** The bytes of a block, in memory that is the caller's. CORRUPTION when the file has no such block. */
  block(number: number): Bytes;
  close(): void;
}
