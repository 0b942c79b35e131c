/**
 * A store with LevelDB's interface, synchronous, whose write-ahead log is its owner's: writes go to memory, a flush
 * makes them durable together with the place in the owner's log that they go up to, and a crash loses what was
 * written since. An owner with an event loop calls `seal`, and then `work` now and then; one that may stop for seconds
 * calls `flush`. Nobody else may write to the folder, and a lock file sees to it.
 */
import type { DiskLock } from "../env/disk.ts";
import { assert } from "../lib/assert.ts";
import type { Bytes } from "../lib/bytes.ts";
import { KvraftError } from "../lib/error.ts";
import { lockPath } from "./folder-names.ts";
import type { Applied } from "./manifest.ts";
import { Memtable } from "./memtable.ts";
import type { Version } from "./memtable-entry.ts";
import { MergingIterator } from "./merging-iterator.ts";
import { foldLife, type Life } from "./record.ts";
import type { Run } from "./run.ts";
import { RunFolder, removeStore, type StoreEnv } from "./run-folder.ts";
import { Upkeep } from "./upkeep.ts";
import { View } from "./view.ts";
import type { WriteBatch } from "./write-batch.ts";

export interface LevelDBOptions {
  /** Makes the store when there is none. [false] */
  readonly createIfMissing?: boolean;
  /** Refuses to open a store that exists. [false] */
  readonly errorIfExists?: boolean;
  /** From this many bytes in memory on, `isFull` asks for `seal` or `flush`. [16 MiB] */
  readonly memtableBytesMax?: number;
  /** Runs are merged until there are at most so many: a read may look into each of them. [12] */
  readonly runsMax?: number;
  /**
   * For a store without an owner that has a log: a write that fills the memory flushes it, and so does `close`. A
   * crash loses what was not flushed. [false]
   */
  readonly autoFlush?: boolean;
  /** Told what people may want to know, a line at a time. */
  readonly report?: (line: string) => void;
}

export interface ReadOptions {
  /** Read the state that the snapshot holds, instead of the present one. */
  readonly snapshot?: Snapshot;
}

/** A value and where it comes from. */
export interface KeyRecord {
  readonly value: Bytes;
  /** The sequence number of the first put since the key was missing. */
  readonly created: number;
  /** The sequence number of this value. */
  readonly modified: number;
  /** How many versions the key has had since it was created, this one included. */
  readonly count: number;
}

/** A state of the store that does not change: opaque, any number of them, each to be released. */
export class Snapshot {
  /** The last sequence number that the snapshot sees. */
  readonly sequence: number;
  /** For the database that made the snapshot. */
  readonly view: View;

  constructor(view: View) {
    this.sequence = view.sequence;
    this.view = view;
  }
}

const defaultMemtableBytesMax = 16 * 1024 * 1024;
const defaultRunsMax = 12;
/** Rows of one slice of work: half a millisecond. */
const sliceRowsMax = 128;

export class LevelDB {
  readonly #runs: RunFolder;
  readonly #upkeep: Upkeep;
  readonly #lock: DiskLock;
  readonly #memtableBytesMax: number;
  readonly #runsCrowd: number;
  readonly #autoFlush: boolean;
  readonly #views = new Set<View>();
  readonly #iterators = new Set<MergingIterator>();
  #memtable = new Memtable();
  #sequence: number;
  #isClosed = false;

  /**
   * Opens the store in a folder. NOT_FOUND or EXISTS as the options say, LOCKED when it is open elsewhere, CORRUPTION
   * or FORMAT when it cannot be believed, and then nothing in the folder was changed.
   */
  static open(env: StoreEnv, folder: string, options: LevelDBOptions = {}): LevelDB {
    const exists = RunFolder.exists(env.disk, folder);
    if (!exists && options.createIfMissing !== true)
      throw new KvraftError(
        "NOT_FOUND",
        `Cannot open "${folder}": the database does not exist (createIfMissing is false)`,
      );
    if (exists && options.errorIfExists === true)
      throw new KvraftError("EXISTS", `Cannot open "${folder}": the database exists (errorIfExists is true)`);
    env.disk.createFolder(folder);
    const lock = takeLock(env, folder);
    try {
      if (!RunFolder.exists(env.disk, folder)) RunFolder.create(env, folder);
      return new LevelDB(RunFolder.open(env, folder, options.report ?? (() => {})), lock, options);
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /** Removes the store in a folder, but not the folder; nothing when there is none. LOCKED while it is open. */
  static destroy(env: StoreEnv, folder: string): void {
    if (env.disk.list(folder).length === 0) return;
    const lock = takeLock(env, folder);
    try {
      removeStore(env.disk, folder);
    } finally {
      lock.release();
    }
    env.disk.remove(lockPath(folder));
  }

  private constructor(runs: RunFolder, lock: DiskLock, options: LevelDBOptions) {
    this.#runs = runs;
    this.#lock = lock;
    this.#sequence = runs.sequence;
    this.#memtableBytesMax = options.memtableBytesMax ?? defaultMemtableBytesMax;
    const runsMax = options.runsMax ?? defaultRunsMax;
    this.#runsCrowd = 2 * runsMax;
    this.#autoFlush = options.autoFlush ?? false;
    assert(this.#memtableBytesMax >= 0, "memtableBytesMax is a size");
    assert(runsMax >= 1, "a store of one run at least");
    this.#upkeep = new Upkeep(runs, runsMax);
  }

  /** The sequence number of the last write. */
  get sequence(): number {
    return this.#sequence;
  }

  /** The place in the owner's log up to which the content is durable. */
  get applied(): Applied {
    return this.#runs.applied;
  }

  /** Whether it is time for `seal` or `flush`. Writes are taken all the same. */
  get isFull(): boolean {
    return this.#memtable.bytes >= this.#memtableBytesMax;
  }

  /** Whether the memory holds twice what it should: a sealed memtable should not wait any longer. */
  get isOverfull(): boolean {
    return this.#memtable.bytes >= 2 * this.#memtableBytesMax;
  }

  /** Whether there is a sealed memtable whose content is not durable yet. */
  get isSealed(): boolean {
    return this.#upkeep.sealed !== undefined;
  }

  /** Whether `work` would do something now. It is false while a file is synced, though work is left. */
  get hasWork(): boolean {
    return !this.#isClosed && this.#upkeep.hasWork;
  }

  /** Whether writes come faster than the work behind them is done: it should get a larger share of the time. */
  get isBehind(): boolean {
    return (this.isSealed && this.isFull) || this.#runs.runs.length > this.#runsCrowd;
  }

  /** The value of a key, not to be written to, or undefined. */
  get(key: Bytes, options?: ReadOptions): Bytes | undefined {
    this.#checkOpen();
    const view = viewOf(options);
    const version = view === undefined ? this.#newest(key) : view.versions(key)[0];
    if (version !== undefined) return version.isTombstone ? undefined : version.value();
    for (const run of view?.runs ?? this.#runs.runs) {
      const row = run.get(key);
      if (row !== undefined) return run.value(row.record);
    }
    return undefined;
  }

  /** The value of a key with what is known about it, or undefined. Reads older versions too, until all is known. */
  getRecord(key: Bytes, options?: ReadOptions): KeyRecord | undefined {
    this.#checkOpen();
    const view = viewOf(options);
    const [version, sealed] = view === undefined ? this.#versions(key) : view.versions(key);
    const runs = view?.runs ?? this.#runs.runs;
    if (version === undefined) return recordInRuns(key, runs);
    if (version.isTombstone) return undefined;
    const life = wholeLife(key, sealed === undefined ? version : foldLife(version, sealed), runs);
    return { value: version.value(), created: life.created, modified: version.sequence, count: life.count };
  }

  put(key: Bytes, value: Bytes, sequence = this.#sequence + 1): void {
    this.#beginWrite(sequence);
    this.#memtable.put(key, value, sequence);
    this.#endWrite();
  }

  /** A key that is not there may be deleted too. */
  delete(key: Bytes, sequence = this.#sequence + 1): void {
    this.#beginWrite(sequence);
    this.#memtable.delete(key, sequence);
    this.#endWrite();
  }

  /**
   * Applies all operations in order, at one sequence number: the next one, or the owner's, which is at least that of
   * the write before. An operation replaces an earlier one on the same key at the same sequence number.
   */
  write(batch: WriteBatch, sequence = this.#sequence + 1): void {
    this.#beginWrite(sequence);
    for (const operation of batch.operations()) {
      if (operation.kind === "put") this.#memtable.put(operation.key, operation.value, sequence);
      else this.#memtable.delete(operation.key, sequence);
    }
    this.#endWrite();
  }

  /** A cursor over the state of now, or over a snapshot's; see MergingIterator. Starts invalid. */
  newIterator(options?: ReadOptions): MergingIterator {
    this.#checkOpen();
    const view = viewOf(options)?.share() ?? this.#takeView();
    const iterator = new MergingIterator(view, (closed) => this.#iterators.delete(closed));
    this.#iterators.add(iterator);
    return iterator;
  }

  getSnapshot(): Snapshot {
    this.#checkOpen();
    const view = this.#takeView();
    this.#views.add(view);
    return new Snapshot(view);
  }

  /** Iterators that were made from the snapshot stay good. */
  releaseSnapshot(snapshot: Snapshot): void {
    this.#checkOpen();
    assert(this.#views.delete(snapshot.view), "a snapshot of this database is released once");
    snapshot.view.release();
  }

  /**
   * Sets everything written so far aside for `work` to make it durable, and with it that the content goes up to
   * `applied` of the owner's log. Requires that nothing is sealed. Costs next to nothing.
   */
  seal(applied: Applied): void {
    this.#checkOpen();
    assert(applied.index >= this.applied.index, "what is applied never goes back");
    this.#upkeep.seal({ memtable: this.#memtable, sequence: this.#sequence, applied });
    this.#memtable = new Memtable();
  }

  /**
   * Does one slice of the work that is due, about a millisecond of it: the flush of what is sealed comes first, then
   * merges of runs. Returns whether more can be done now. When it throws, the store keeps answering from memory and
   * its old runs, and every later call of `seal`, `work` and `flush` throws the same.
   */
  work(rowsMax = sliceRowsMax): boolean {
    this.#checkOpen();
    assert(rowsMax >= 1, "a slice of work has a row at least");
    this.#upkeep.work(rowsMax);
    return this.#upkeep.hasWork;
  }

  /** Makes what is sealed durable before it returns. Throws as `work` does. */
  flushSealed(): void {
    this.#checkOpen();
    this.#upkeep.flushNow();
  }

  /**
   * Makes everything written so far durable before it returns, with `applied` as for `seal`; then merges runs while
   * that is due. Throws as `work` does.
   */
  flush(applied: Applied): void {
    this.flushSealed();
    const known = this.applied;
    const isKnown = applied.index === known.index && applied.term === known.term;
    if (!(this.#memtable.isEmpty && isKnown && this.#sequence === this.#runs.sequence)) {
      this.seal(applied);
      this.flushSealed();
    }
    this.#upkeep.mergeNow();
  }

  /** Closes snapshots and iterators too. Without autoFlush, what is not durable is gone from here. */
  close(): void {
    if (this.#isClosed) return;
    try {
      if (this.#autoFlush) {
        this.flushSealed();
        this.flush(this.applied);
      }
    } finally {
      this.#closeAll();
    }
  }

  #closeAll(): void {
    this.#isClosed = true;
    for (const iterator of [...this.#iterators]) iterator.close();
    for (const view of this.#views) view.release();
    this.#views.clear();
    this.#upkeep.abandon();
    this.#runs.close();
    this.#lock.release();
  }

  #takeView(): View {
    const sealed = this.#upkeep.sealed;
    const memtables = sealed === undefined ? [this.#memtable] : [this.#memtable, sealed.memtable];
    return View.take(memtables, this.#runs.runs, this.#sequence);
  }

  /** The newest version in memory. */
  #newest(key: Bytes): Version | undefined {
    return this.#memtable.newest(key) ?? this.#upkeep.sealed?.memtable.newest(key);
  }

  /** The versions in memory, one per memtable that has the key, newest first. */
  #versions(key: Bytes): Version[] {
    const active = this.#memtable.newest(key);
    const sealed = this.#upkeep.sealed?.memtable.newest(key);
    if (active === undefined) return sealed === undefined ? [] : [sealed];
    return sealed === undefined ? [active] : [active, sealed];
  }

  #beginWrite(sequence: number): void {
    this.#checkOpen();
    assert(Number.isSafeInteger(sequence), "a sequence number is a safe integer");
    assert(sequence >= this.#sequence, "sequence numbers never go back");
    this.#sequence = sequence;
    this.#memtable.beginWrite();
  }

  #endWrite(): void {
    if (this.#autoFlush && this.isFull) this.flush(this.applied);
  }

  #checkOpen(): void {
    if (this.#isClosed)
      throw new KvraftError("CLOSED", "Cannot use the database: it was closed; open it again");
  }
}

function takeLock(env: StoreEnv, folder: string): DiskLock {
  const lock = env.disk.lock(lockPath(folder));
  if (lock === undefined)
    throw new KvraftError(
      "LOCKED",
      `Cannot open "${folder}": the folder is locked by another process; stop that process or choose another folder`,
    );
  return lock;
}

function viewOf(options: ReadOptions | undefined): View | undefined {
  const view = options?.snapshot?.view;
  assert(view === undefined || !view.isReleased, "a snapshot is read before it is released");
  return view;
}

/** The newest version in the runs, as far as the key is alive there. */
function recordInRuns(key: Bytes, runs: readonly Run[]): KeyRecord | undefined {
  for (let at = 0; at < runs.length; at++) {
    const row = runs[at]!.get(key);
    if (row === undefined) continue;
    const record = runs[at]!.decode(row.record);
    if (record.isTombstone) return undefined;
    const life = wholeLife(key, record, runs.slice(at + 1));
    return { value: record.value, created: life.created, modified: row.sequence, count: life.count };
  }
  return undefined;
}

/** Folds the older runs into a version's life until nothing is missing. */
function wholeLife(key: Bytes, newest: Life, runs: readonly Run[]): Life {
  let life = newest;
  for (const run of runs) {
    if (life.isComplete) return life;
    const row = run.get(key);
    if (row !== undefined) life = foldLife(life, { ...run.decode(row.record), sequence: row.sequence });
  }
  return life;
}
