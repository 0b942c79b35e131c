/**
 * A store with LevelDB's interface, synchronous, whose write-ahead log is its owner's: writes go to memory, a flush
 * makes them durable together with the place in the owner's log that they go up to, and a crash loses what was
 * written since. An owner with an event loop calls `seal` when `isFull`, and a worker does the rest beside it; one
 * that may stop for seconds calls `flush`. Nobody else may write to the folder, and a lock file sees to it.
 */
import type { DiskLock } from "../env/disk.ts";
import { assert } from "../lib/assert.ts";
import { type Bytes, compareBytes } from "../lib/bytes.ts";
import { KvraftError } from "../lib/error.ts";
import { BlockCache } from "./block-cache.ts";
import { DurableScan } from "./durable-scan.ts";
import { lockPath } from "./folder-names.ts";
import { type FoundVersion, valueIn, versionIn, versionsIn } from "./found-version.ts";
import { History } from "./history.ts";
import type { Install, InstallHooks } from "./install.ts";
import type { InstallState } from "./install-messages.ts";
import { hashKey } from "./key-hash.ts";
import { type Applied, filesOf } from "./manifest.ts";
import { Memtable, MemtablePool } from "./memtable.ts";
import { MergingIterator } from "./merging-iterator.ts";
import { approximateSize, propertyOf, type Range } from "./properties.ts";
import { decodeRecord, foldLife, type Life, type StoredRecord } from "./record.ts";
import { createStore, RunFolder, removeStore, type StoreEnv, storeExists, takeLock } from "./run-folder.ts";
import { UpkeepThread } from "./upkeep-thread.ts";
import { View } from "./view.ts";
import type { WriteBatch } from "./write-batch.ts";

export interface LevelDBOptions {
  /** Makes the store when there is none. [false] */
  readonly createIfMissing?: boolean;
  /** Refuses to open a store that exists. [false] */
  readonly errorIfExists?: boolean;
  /** From this many bytes in memory on, `isFull` asks for `seal` or `flush`. [16 MiB] */
  readonly memtableBytesMax?: number;
  /** Blocks of rows that were read lately are kept up to so many bytes. [8 MiB] */
  readonly cacheBytesMax?: number;
  /**
   * Files of runs have about this size: what a merge writes at once, and the space it takes for a while. [an eighth of
   * memtableBytesMax, at most 8 MiB]
   */
  readonly tableBytesMax?: number;
  /** Runs are merged until there are at most so many: a read may look into each of them. [16] */
  readonly runsMax?: number;
  /** So many sequence numbers back reads of the past see what was there. [0: the present only] */
  readonly historySequences?: number;
  /** The same in time as `advanceTime` tells it, in ms: what was there so long ago is kept. [0] */
  readonly historyMs?: number;
  /**
   * For a store without an owner that has a log: a write that fills the memory seals it, and waits when writes come
   * faster than they can be stored; `close` flushes. A crash loses what was not flushed. [false]
   */
  readonly autoFlush?: boolean;
  /** Told what people may want to know, a line at a time. */
  readonly report?: (line: string) => void;
  /** Told when the worker has failed: nothing more becomes durable. `seal` and `flush` throw it from then on. */
  readonly failed?: (error: KvraftError) => void;
}

export interface ReadOptions {
  /** Read the state that the snapshot holds, instead of the present one. */
  readonly snapshot?: Snapshot;
  /** Read what was there at this sequence number. COMPACTED when that is not kept any more. */
  readonly sequence?: number;
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

const mebibyte = 1024 * 1024;
const defaults = {
  memtableBytesMax: 16 * mebibyte,
  cacheBytesMax: 8 * mebibyte,
};
const tableBytesMost = 8 * mebibyte;
const tablesPerMemtable = 8;
const defaultRunsMax = 16;
/** Memtables that may wait to be stored, beside the one that is written to. */
const sealedMax = 2;
/** Bytes of writes between two pauses of a store that slows its writers down by itself. */
const pauseEveryBytes = 256 * 1024;
const pauseMsMax = 4;

export class LevelDB {
  readonly #upkeep: UpkeepThread;
  readonly #cache: BlockCache;
  readonly #pool: MemtablePool;
  readonly #lock: DiskLock;
  readonly #memtableBytesMax: number;
  readonly #runsMax: number;
  readonly #history: History;
  readonly #autoFlush: boolean;
  readonly #views = new Set<View>();
  /** Iterators and scans. */
  readonly #readers = new Set<{ close(): void }>();
  #memtable: Memtable;
  #sequence: number;
  #stalls = 0;
  #pausedAtBytes = 0;
  #isClosed = false;

  /**
   * Opens the store in a folder. NOT_FOUND or EXISTS as the options say, LOCKED when it is open elsewhere, CORRUPTION
   * or FORMAT when it cannot be believed, and then nothing in the folder was changed.
   */
  static open(env: StoreEnv, folder: string, options: LevelDBOptions = {}): LevelDB {
    const exists = storeExists(env.disk, folder);
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
      if (!storeExists(env.disk, folder)) createStore(env.disk, folder);
      return new LevelDB(env, folder, lock, options);
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

  private constructor(env: StoreEnv, folder: string, lock: DiskLock, options: LevelDBOptions) {
    const { memtableBytesMax, cacheBytesMax } = { ...defaults, ...options };
    this.#lock = lock;
    this.#memtableBytesMax = memtableBytesMax;
    this.#history = new History(options.historySequences ?? 0, options.historyMs ?? 0);
    this.#autoFlush = options.autoFlush ?? false;
    this.#runsMax = options.runsMax ?? defaultRunsMax;
    assert(memtableBytesMax >= 0, "memtableBytesMax is a size");
    assert(this.#runsMax >= 1, "a store of one run at least");
    // All that are needed at once: a collection that gives tens of MiB back to the system stops the event loop for ms.
    this.#pool = new MemtablePool((1 + sealedMax) * memtableBytesMax);
    const cache = new BlockCache(cacheBytesMax);
    this.#cache = cache;
    const report = options.report ?? (() => {});
    this.#upkeep = new UpkeepThread(env, (unneeded) => RunFolder.open(env, folder, cache, report, unneeded), {
      folder,
      report,
      tableBytesMax: options.tableBytesMax ?? Math.min(memtableBytesMax / tablesPerMemtable, tableBytesMost),
      runsMax: this.#runsMax,
      failed: options.failed ?? (() => {}),
    });
    this.#sequence = this.#upkeep.runs.manifest.sequence;
    this.#memtable = this.#newMemtable();
  }

  /** The sequence number of the last write. */
  get sequence(): number {
    return this.#sequence;
  }

  /** The place in the owner's log up to which the content is durable. */
  get applied(): Applied {
    return this.#upkeep.runs.manifest.applied;
  }

  /** What was installed last goes up to there (beginInstall); {0, 0} when nothing was. */
  get logStart(): Applied {
    return this.#upkeep.runs.manifest.logStart;
  }

  /** Whether it is time for `seal` or `flush`. Writes are taken all the same. */
  get isFull(): boolean {
    return this.#memtable.bytes >= this.#memtableBytesMax || this.#memtable.isCrowded;
  }

  /** Whether `seal` can take another memtable. */
  get canSeal(): boolean {
    return this.#upkeep.sealed.length < sealedMax;
  }

  /** Whether there is a sealed memtable whose content is not durable yet. */
  get isSealed(): boolean {
    return this.#upkeep.sealed.length > 0;
  }

  /** What has made the worker stop, if it has. */
  get failure(): KvraftError | undefined {
    return this.#upkeep.failure;
  }

  /** Counts up while the worker gets on with what it has to do. Stands still when it has nothing, or when its disk hangs. */
  get workerSlices(): number {
    return this.#upkeep.slices;
  }

  /**
   * How much slower writes should come, from 0 (not at all) to 1 (none should, until this falls): they come faster
   * than they are stored, and what waits takes memory; or faster than runs are merged.
   */
  get pressure(): number {
    // Addresses run out, however large it may be.
    if (this.#memtable.isCrowded && !this.canSeal) return 1;
    const full = Math.max(1, this.#memtableBytesMax);
    const waiting = this.#memtable.bytes + this.#sealedBytes;
    const memory = (waiting / full - (1 + sealedMax / 2)) / (sealedMax / 2);
    const runs = (this.#upkeep.runs.runs.length - 3 * this.#runsMax) / (3 * this.#runsMax);
    return Math.min(1, Math.max(0, memory, runs));
  }

  /** The value of a key, not to be written to, or undefined. */
  get(key: Bytes, options?: ReadOptions): Bytes | undefined {
    this.#checkOpen();
    if (options !== undefined) return valueIn(this.#versions(key, options).next().value);
    const address = this.#memtable.find(key);
    if (address !== -1) return this.#memtable.memory.value(address);
    return valueIn(this.#findBelow(key));
  }

  /** The value of a key with what is known about it, or undefined. Reads older versions too, until all is known. */
  getRecord(key: Bytes, options?: ReadOptions): KeyRecord | undefined {
    this.#checkOpen();
    let newest: (StoredRecord & { sequence: number }) | undefined;
    let life: Life | undefined;
    for (const { sequence, record } of this.#versions(key, options)) {
      const decoded = { ...decodeRecord(record), sequence };
      if (newest === undefined) {
        if (decoded.isTombstone) return undefined;
        newest = decoded;
        life = decoded;
      } else life = foldLife(life!, decoded);
      if (life!.isComplete) break;
    }
    if (newest === undefined) return undefined;
    return { value: newest.value, created: life!.created, modified: newest.sequence, count: life!.count };
  }

  put(key: Bytes, value: Bytes, sequence = this.#sequence + 1): void {
    this.#beginWrite(sequence);
    this.#memtable.put(key, value, sequence);
    if (this.#autoFlush) this.#endWrite();
  }

  /** A key that is not there may be deleted too. */
  delete(key: Bytes, sequence = this.#sequence + 1): void {
    this.#beginWrite(sequence);
    this.#memtable.delete(key, sequence);
    if (this.#autoFlush) this.#endWrite();
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
    if (this.#autoFlush) this.#endWrite();
  }

  /**
   * A cursor over the state of now, over a snapshot's or that of a sequence number; see MergingIterator. Starts
   * invalid.
   */
  newIterator(options?: ReadOptions): MergingIterator {
    this.#checkOpen();
    const sequence = this.#sequenceOf(options);
    const view = viewOf(options)?.share() ?? this.#takeView();
    const iterator = new MergingIterator(view, sequence, (closed) => this.#readers.delete(closed));
    this.#readers.add(iterator);
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
   * Sets everything written so far aside for the worker to make it durable, and with it that the content goes up to
   * `applied` of the owner's log. Requires `canSeal`. Costs next to nothing. Throws when the worker has failed; the
   * store keeps answering from memory and its old runs then.
   */
  seal(applied: Applied): void {
    this.#checkOpen();
    this.#checkWritable();
    assert(this.canSeal, "only so many memtables are sealed at a time");
    assert(applied.index >= this.applied.index, "what is applied never goes back");
    const [sequence, historyFloor] = [this.#sequence, this.#historyFloor];
    this.#upkeep.seal({ memtable: this.#memtable, sequence, applied, historyFloor });
    this.#memtable = this.#newMemtable();
    this.#pausedAtBytes = 0;
  }

  /** Makes what is sealed durable before it returns. Throws as `seal` does. */
  flushSealed(): void {
    this.#checkOpen();
    this.#upkeep.finishFlushes();
  }

  /**
   * Makes everything written so far durable before it returns, with `applied` as for `seal`. Throws as `seal`
   * does.
   */
  flush(applied: Applied): void {
    this.#checkWritable();
    this.flushSealed();
    const { applied: known, sequence } = this.#upkeep.runs.manifest;
    const isKnown = applied.index === known.index && applied.term === known.term;
    if (this.#memtable.isEmpty && isKnown && this.#sequence === sequence) return;
    this.seal(applied);
    this.flushSealed();
  }

  /**
   * Makes one run of all runs, without garbage, unless no file holds keys from `begin` to `end` (both included, undefined
   * is open), and returns when that is done. What is in memory takes part only when the store flushes by itself.
   */
  compactRange(begin?: Bytes, end?: Bytes): void {
    this.#checkOpen();
    if (this.#autoFlush) this.flush(this.applied);
    const isTouched = filesOf(this.#upkeep.runs.manifest).some(
      ({ smallest, largest }) =>
        (begin === undefined || compareBytes(largest, begin) >= 0) &&
        (end === undefined || compareBytes(smallest, end) <= 0),
    );
    if (isTouched) this.#upkeep.compact();
  }

  /** What MANIFEST holds now, for another store to install; keys at or above `limit` are left out. See DurableScan. */
  scanDurable(options: { readonly limit?: Bytes } = {}): DurableScan {
    this.#checkOpen();
    const { runs, manifest } = this.#upkeep.runs;
    const scan = new DurableScan(runs, manifest, options.limit, (closed) => this.#readers.delete(closed));
    this.#readers.add(scan);
    return scan;
  }

  /**
   * Begins to replace the whole content by that of another store: see Install. One at a time. Snapshots and iterators
   * stay good; older sequence numbers cannot be read any more afterwards. Throws as `seal` does.
   */
  beginInstall(hooks: InstallHooks): Install {
    this.#checkOpen();
    const ownHooks: InstallHooks = {
      consumed: (bytes) => hooks.consumed(bytes),
      refused: (error) => hooks.refused(error),
      installed: () => {
        this.#followInstall();
        hooks.installed();
      },
    };
    return this.#upkeep.beginInstall(ownHooks, (state) => this.#checkNewer(state));
  }

  /**
   * Says that nobody writes much for now, so that more space is given back than while every write counts; or that
   * somebody does.
   */
  rest(isResting: boolean): void {
    this.#checkOpen();
    if (this.failure === undefined) this.#upkeep.rest(isResting);
  }

  /**
   * It is this time now, in ms, by the clock of whoever writes: what `historyMs` counts back from. An earlier time
   * changes nothing.
   */
  advanceTime(timeMs: number): void {
    this.#checkOpen();
    this.#history.advance(timeMs, this.#sequence);
  }

  /**
   * What LevelDB's `GetProperty` tells (`leveldb.stats` and so on), and `kvraft.` ones; undefined for a name that
   * is none.
   */
  getProperty(name: string): string | undefined {
    this.#checkOpen();
    const { runs, sealed, work, spaceRatio, mergeDebtBytes } = this.#upkeep;
    return propertyOf(name, {
      runs,
      memtableBytes: this.#memtable.bytes,
      sealedBytes: this.#sealedBytes,
      sealedCount: sealed.length,
      cacheBytes: this.#cache.bytes,
      pressure: this.pressure,
      stalls: this.#stalls,
      work,
      spaceRatio,
      mergeDebtBytes,
    });
  }

  /** About how many bytes of files the keys of each range take. What is in memory only is not counted. */
  approximateSizes(ranges: readonly Range[]): number[] {
    this.#checkOpen();
    return ranges.map((range) => approximateSize(this.#upkeep.runs.runs, range));
  }

  /** Closes snapshots and iterators too. Without autoFlush, what is not durable is gone from here. */
  close(): void {
    if (this.#isClosed) return;
    try {
      if (this.#autoFlush && this.failure === undefined && !this.#upkeep.isReplacing)
        this.flush(this.applied);
    } finally {
      this.#closeAll();
    }
  }

  #closeAll(): void {
    this.#isClosed = true;
    for (const reader of [...this.#readers]) reader.close();
    for (const view of this.#views) view.release();
    this.#views.clear();
    // A worker that cannot be stopped may still change the folder: it stays locked while this process lives.
    if (this.#upkeep.close()) this.#lock.release();
  }

  get #sealedBytes(): number {
    return this.#upkeep.sealed.reduce((sum, { memtable }) => sum + memtable.bytes, 0);
  }

  #checkNewer({ sequence, applied }: InstallState): void {
    const known = this.#upkeep.sealed[0]?.applied ?? this.applied;
    assert(applied.index > known.index, "a state that is not newer is not installed");
    assert(sequence >= this.#sequence, "sequence numbers never go back");
  }

  /** What is in memory belongs to the old state. Readers hold what they see of it. */
  #followInstall(): void {
    this.#memtable.done();
    this.#memtable = this.#newMemtable();
    this.#sequence = this.#upkeep.runs.manifest.sequence;
    this.#pausedAtBytes = 0;
  }

  #newMemtable(): Memtable {
    return new Memtable(this.#pool, this.#history.isKept);
  }

  /** The oldest sequence number that can be read at. It never falls: what was not kept once is gone. */
  get #historyFloor(): number {
    return Math.max(this.#upkeep.runs.manifest.historyFloor, this.#history.floorAt(this.#sequence));
  }

  #takeView(): View {
    const memtables = [this.#memtable, ...this.#upkeep.sealed.map(({ memtable }) => memtable)];
    return View.take(memtables, this.#upkeep.runs.runs, this.#sequence);
  }

  /** The newest version below the memtable that is written to. */
  #findBelow(key: Bytes): FoundVersion | undefined {
    for (const { memtable } of this.#upkeep.sealed) {
      const version = versionIn(memtable, key);
      if (version !== undefined) return version;
    }
    const hash = hashKey(key);
    for (const run of this.#upkeep.runs.runs) {
      const version = run.get(key, hash, Infinity);
      if (version !== undefined) return version;
    }
    return undefined;
  }

  /** The newest version of the key in each layer, newest layer first. */
  *#versions(key: Bytes, options: ReadOptions | undefined): IterableIterator<FoundVersion, undefined> {
    const sequence = this.#sequenceOf(options);
    const view = viewOf(options);
    const memory = view?.memory ?? [
      { memtable: this.#memtable, stamp: undefined },
      ...this.#upkeep.sealed.map(({ memtable }) => ({ memtable, stamp: undefined })),
    ];
    for (const { memtable, stamp } of memory) {
      const version = versionIn(memtable, key, stamp, sequence);
      if (version !== undefined) yield version;
    }
    yield* versionsIn(view?.runs ?? this.#upkeep.runs.runs, key, sequence);
  }

  /** The sequence number of a read. Infinity for the newest that its view sees. */
  #sequenceOf(options: ReadOptions | undefined): number {
    const sequence = options?.sequence;
    if (sequence === undefined) return Infinity;
    const present = options?.snapshot?.sequence ?? this.#sequence;
    const floor = this.#historyFloor;
    if (sequence > present)
      throw new KvraftError(
        "INVALID_ARGUMENT",
        `Cannot read at sequence number ${sequence}: the last one is ${present}`,
      );
    if (sequence < floor && sequence !== present)
      throw new KvraftError(
        "COMPACTED",
        `Cannot read at sequence number ${sequence}: what was there before ${floor} is not kept any more`,
      );
    return sequence;
  }

  #beginWrite(sequence: number): void {
    this.#checkOpen();
    this.#checkWritable();
    assert(Number.isSafeInteger(sequence), "a sequence number is a safe integer");
    assert(sequence >= this.#sequence, "sequence numbers never go back");
    this.#sequence = sequence;
    this.#memtable.beginWrite();
  }

  /** Slows down smoothly whoever writes to a store that flushes by itself. */
  #endWrite(): void {
    if (this.isFull) {
      if (!this.canSeal) this.#stalls++;
      while (!this.canSeal) this.#upkeep.pause(pauseMsMax);
      this.seal(this.applied);
    }
    if (this.#memtable.bytes - this.#pausedAtBytes < pauseEveryBytes) return;
    this.#pausedAtBytes = this.#memtable.bytes;
    const { pressure } = this;
    if (pressure > 0) this.#upkeep.pause(pressure * pauseMsMax);
  }

  #checkWritable(): void {
    assert(!this.#upkeep.isReplacing, "nothing is written while another state takes this one's place");
  }

  #checkOpen(): void {
    if (this.#isClosed)
      throw new KvraftError("CLOSED", "Cannot use the database: it was closed; open it again");
  }
}

function viewOf(options: ReadOptions | undefined): View | undefined {
  const view = options?.snapshot?.view;
  assert(view === undefined || !view.isReleased, "a snapshot is read before it is released");
  return view;
}
