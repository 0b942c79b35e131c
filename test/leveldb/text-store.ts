import { LevelDB, type LevelDBOptions, type Snapshot } from "../../src/leveldb/level-db.ts";
import type { MergingIterator } from "../../src/leveldb/merging-iterator.ts";
import { type Bytes, fromUtf8, toUtf8 } from "../../src/lib/bytes.ts";
import { KvraftError } from "../../src/lib/error.ts";
import { MemoryDisk } from "./memory-disk.ts";
import { MemoryTables } from "./memory-tables.ts";
import { MemoryWorkers } from "./memory-workers.ts";

/** Where the store of a TextStore lies. */
export const folder = "data/store";

/** A store with text for bytes, and flushes that count themselves. Its worker works when it is told to. */
export class TextStore {
  readonly disk = new MemoryDisk();
  readonly tables = new MemoryTables(this.disk);
  readonly workers = new MemoryWorkers(this);
  readonly lines: string[] = [];
  readonly failures: KvraftError[] = [];
  readonly #options: LevelDBOptions;
  store: LevelDB;
  #applied = 0;

  constructor(options: LevelDBOptions = {}) {
    this.#options = options;
    this.disk.createFolder("data");
    this.store = this.open({ createIfMissing: true });
  }

  open(options: LevelDBOptions = {}): LevelDB {
    return LevelDB.open(this, folder, {
      report: (line) => this.lines.push(line),
      failed: (error) => this.failures.push(error),
      ...this.#options,
      ...options,
    });
  }

  reopen(): void {
    this.store.close();
    this.store = this.open();
  }

  put(key: string, value: string, sequence?: number): void {
    this.store.put(toUtf8(key), toUtf8(value), sequence);
  }

  delete(key: string): void {
    this.store.delete(toUtf8(key));
  }

  get(key: string, snapshot?: Snapshot): string | undefined {
    return text(this.store.get(toUtf8(key), snapshot && { snapshot }));
  }

  /** Leaves the merges that follow from it for later. */
  flushOnly(): void {
    this.store.flush({ index: ++this.#applied, term: 1 });
  }

  /** All that a worker would do after it, too. */
  flush(): void {
    this.flushOnly();
    this.workers.settle();
  }

  seal(): void {
    this.store.seal({ index: ++this.#applied, term: 1 });
  }

  all(iterator = this.store.newIterator()): string {
    const pairs: string[] = [];
    for (iterator.seekToFirst(); iterator.valid(); iterator.next()) pairs.push(at(iterator));
    iterator.close();
    return pairs.join(" ");
  }

  get runFiles(): string[] {
    return this.disk.list(folder).filter((name) => name.endsWith(".run"));
  }
}

export function text(bytes: Bytes | undefined): string | undefined {
  return bytes && fromUtf8(bytes);
}

/** Where an iterator stands, for people. */
export function at(iterator: MergingIterator): string {
  return iterator.valid() ? `${fromUtf8(iterator.key())}=${fromUtf8(iterator.value())}` : "(invalid)";
}

/** What `run` throws, which must be a KvraftError. */
export function failureOf(run: () => unknown): KvraftError {
  try {
    run();
  } catch (error) {
    if (error instanceof KvraftError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}
