import type { Bytes } from "../lib/bytes.ts";

/** A value and the life of its key: revisions of the first and the newest put, and how many puts there were. */
export interface StoredRecord {
  readonly value: Bytes;
  readonly created: number;
  readonly modified: number;
  readonly count: number;
}

/** What the state machine needs of the store: LevelDB's calls, with the revision as the sequence number. */
export interface Store {
  get(key: Bytes): Bytes | undefined;
  getRecord(key: Bytes): StoredRecord | undefined;
  put(key: Bytes, value: Bytes, sequence: number): void;
  delete(key: Bytes, sequence: number): void;
  newIterator(): {
    valid(): boolean;
    seek(target: Bytes): void;
    next(): void;
    key(): Bytes;
    value(): Bytes;
    close(): void;
  };
}
