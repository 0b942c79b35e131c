/**
 * A random walk over two stores and the way between them, in lock-step with a model of each: one is scanned while it is
 * written to, and what the scan gives is installed in the other, which has a content of its own and readers of it, and
 * is written to, too, until the end. Sometimes rows are damaged on the way, the install is given up, or the store is
 * opened again in the middle of it.
 */
import { expect } from "bun:test";
import type { Prng } from "../../src/env/prng.ts";
import type { DurableScan } from "../../src/leveldb/durable-scan.ts";
import type { Install } from "../../src/leveldb/install.ts";
import type { InstallState } from "../../src/leveldb/install-messages.ts";
import { LevelDB, type LevelDBOptions, type Snapshot } from "../../src/leveldb/level-db.ts";
import type { MergingIterator } from "../../src/leveldb/merging-iterator.ts";
import { decodeRecord } from "../../src/leveldb/record.ts";
import { decodeRows } from "../../src/leveldb/row-chunk.ts";
import type { StoreEnv } from "../../src/leveldb/run-folder.ts";
import { type Bytes, concatBytes, toUtf8 } from "../../src/lib/bytes.ts";
import { describeIterator, describeState, StoreModel } from "./store-model.ts";

interface Change {
  readonly key: Bytes;
  readonly sequence: number;
  readonly value: Bytes | undefined;
}

/** A state that is durable or will be. */
interface Stored {
  readonly index: number;
  readonly changes: readonly Change[];
}

interface Reader {
  readonly snapshot: Snapshot;
  readonly iterator: MergingIterator;
  readonly shown: string;
  readonly keys: readonly Bytes[];
  place: number;
}

const keys = Array.from({ length: 80 }, (_, at) => toUtf8(`${at % 7}key${at}`.slice(0, 2 + (at % 5))));
const readersMax = 4;
const term = 1;

/** A store, what it should hold, and what is done to a store at random. */
class Side {
  store: LevelDB;
  /** Known to be durable, and what was sealed since, oldest first. */
  stored: Stored[] = [{ index: 0, changes: [] }];
  changes: Change[] = [];
  model = new StoreModel();
  readonly #env: StoreEnv;
  readonly #folder: string;
  readonly #prng: Prng;
  readonly #options: LevelDBOptions;
  readonly #readers: Reader[] = [];

  constructor(env: StoreEnv, folder: string, prng: Prng) {
    this.#env = env;
    this.#folder = folder;
    this.#prng = prng;
    this.#options = {
      createIfMissing: true,
      tableBytesMax: prng.pick([100, 1000, 100_000]),
      runsMax: prng.int(1, 6),
      historySequences: prng.pick([0, 0, 20]),
      cacheBytesMax: prng.pick([0, 100_000]),
      failed: (error) => {
        throw error;
      },
    };
    this.store = LevelDB.open(env, folder, this.#options);
  }

  write(): void {
    for (let count = this.#prng.int(1, 10); count > 0; count--) {
      const key = this.#prng.pick(keys);
      const sequence = this.store.sequence + this.#prng.pick([0, 1, 1, 3]);
      const length = this.#prng.pick([0, 3, 30, 300, 5000]);
      const value = this.#prng.chance(1, 4) ? undefined : new Uint8Array(length).fill(this.#prng.int(0, 255));
      this.change({ key, sequence, value });
    }
  }

  change({ key, sequence, value }: Change): void {
    if (value === undefined) this.store.delete(key, sequence);
    else this.store.put(key, value, sequence);
    this.changes.push({ key, sequence, value });
    this.model.add(key, sequence, value);
  }

  seal(): void {
    if (!this.store.canSeal) return;
    this.#note();
    this.store.seal({ index: this.stored.at(-1)!.index, term });
  }

  flush(): void {
    this.#note();
    this.store.flush({ index: this.stored.at(-1)!.index, term });
    this.stored = this.stored.slice(-1);
  }

  #note(): void {
    this.stored.push({ index: this.stored.at(-1)!.index + this.#prng.int(1, 3), changes: [...this.changes] });
  }

  /** What was stored as of an applied entry. */
  storedAt(index: number): Stored {
    const found = this.stored.find((stored) => stored.index === index);
    expect(found, `entry ${index} was stored`).toBeDefined();
    return found!;
  }

  /** It holds this now. */
  become({ index, changes }: Stored): void {
    this.stored = [{ index, changes }];
    this.changes = [...changes];
    this.model = modelOf(changes);
  }

  hold(): void {
    if (this.#readers.length === readersMax) return;
    const keys = this.model.state().map(([key]) => key);
    const snapshot = this.store.getSnapshot();
    const shown = describeState(this.model);
    this.#readers.push({ snapshot, iterator: this.store.newIterator(), shown, keys, place: keys.length });
  }

  release(): void {
    const reader = this.#readers.splice(this.#prng.int(0, readersMax), 1)[0];
    if (reader === undefined) return;
    reader.iterator.close();
    this.store.releaseSnapshot(reader.snapshot);
  }

  checkReaders(): void {
    for (const reader of this.#readers) {
      const { snapshot, iterator, keys } = reader;
      expect(describeIterator(this.store.newIterator({ snapshot }))).toBe(reader.shown);
      if (reader.place < keys.length) iterator.next();
      else iterator.seekToFirst();
      reader.place = reader.place < keys.length ? reader.place + 1 : 0;
      expect(iterator.valid()).toBe(reader.place < keys.length);
      if (iterator.valid()) expect(iterator.key()).toEqual(keys[reader.place]!);
    }
  }

  check(): void {
    expect(describeIterator(this.store.newIterator())).toBe(describeState(this.model));
    const view = this.model.length;
    for (const key of keys) expect(this.store.getRecord(key)).toEqual(this.model.record(view, key));
    expect(this.store.sequence).toBeGreaterThanOrEqual(this.model.sequence());
    this.checkReaders();
  }

  close(): void {
    this.#readers.length = 0;
    this.store.close();
  }

  /** `coming` may be there, too, instead of what was stored. */
  reopen(coming?: Stored): void {
    const { index } = this.store.applied;
    this.close();
    this.store = LevelDB.open(this.#env, this.#folder, this.#options);
    const applied = this.store.applied.index;
    expect(applied).toBeGreaterThanOrEqual(index);
    this.become(coming?.index === applied ? coming : this.storedAt(applied));
    expect(this.store.sequence).toBe(this.model.sequence());
  }
}

function modelOf(changes: readonly Change[]): StoreModel {
  const model = new StoreModel();
  for (const { key, sequence, value } of changes) model.add(key, sequence, value);
  return model;
}

/** What is on its way. */
interface Transfer {
  readonly scan: DurableScan;
  readonly coming: Stored;
  readonly chunks: Bytes[];
  readonly install: Install;
  isDamaged: boolean;
  isFinished: boolean;
}

export class InstallWalk {
  installs = 0;
  refusals = 0;
  readonly #prng: Prng;
  readonly #source: Side;
  readonly #target: Side;
  readonly #work: () => Promise<void> | void;
  #transfer: Transfer | undefined;
  #bytesOnTheWay = 0;

  /** `work` gives the workers of the environments some time. */
  constructor(
    envs: readonly [StoreEnv, StoreEnv],
    folder: string,
    prng: Prng,
    work: () => Promise<void> | void,
  ) {
    this.#prng = prng;
    this.#source = new Side(envs[0], `${folder}-source`, prng);
    this.#target = new Side(envs[1], `${folder}-target`, prng);
    this.#work = work;
  }

  async run(steps: number): Promise<void> {
    for (let step = 0; step < steps; step++) await this.#step();
    while (this.#transfer?.isFinished === true) await this.#work();
    this.#transfer?.scan.close();
    for (const side of [this.#source, this.#target]) {
      side.check();
      side.reopen();
      side.check();
      side.store.compactRange();
      side.check();
      side.close();
    }
  }

  async #step(): Promise<void> {
    const dice = this.#prng.int(1, 1000);
    if (dice <= 250) return this.#change(this.#source);
    if (dice <= 450) return await this.#work();
    if (dice <= 470) return this.#target.reopen(this.#endTransfer());
    if (dice <= 550) return this.#target.checkReaders();
    if (dice <= 580) return this.#target.check();
    if (dice <= 600) return this.#target.hold();
    if (dice <= 615) return this.#target.release();
    const transfer = this.#transfer;
    if (transfer === undefined && dice <= 700) return this.#begin();
    if (transfer !== undefined && !transfer.isFinished && dice <= 900) return this.#move(transfer);
    if (transfer?.isFinished !== true) return this.#change(this.#target);
    if (dice <= 990) return await this.#work();
    this.#target.store.compactRange();
  }

  #change(side: Side): void {
    const dice = this.#prng.int(1, 20);
    if (dice <= 11) side.write();
    else if (dice <= 15) side.seal();
    else if (dice <= 17) side.flush();
    else if (dice === 18) side.store.rest(this.#prng.chance(1, 2));
    else if (dice === 19 && this.#prng.chance(1, 4)) side.store.compactRange();
    else side.check();
  }

  /** The source has to be further than the target will ever be before the end. */
  #begin(): void {
    const [source, target] = [this.#source, this.#target];
    const sequence = Math.max(source.store.sequence, target.store.sequence) + 10_000;
    source.change({ key: this.#prng.pick(keys), sequence, value: toUtf8("overtakes") });
    const index = Math.max(source.stored.at(-1)!.index, target.stored.at(-1)!.index) + 10_000;
    source.stored.push({ index, changes: [...source.changes] });
    source.store.flush({ index, term });
    source.stored = source.stored.slice(-1);
    for (let writes = this.#prng.int(0, 3); writes > 0; writes--) this.#change(source);
    const scan = source.store.scanDurable();
    this.#checkLimited();
    const coming = source.stored.findLast((stored) => stored.index === scan.applied.index)!;
    expect(scan.sequence).toBe(modelOf(coming.changes).sequence());
    const install = target.store.beginInstall({
      consumed: (bytes) => {
        this.#bytesOnTheWay -= bytes;
        expect(this.#bytesOnTheWay).toBeGreaterThanOrEqual(0);
      },
      installed: () => this.#installed(),
      refused: () => {
        expect(this.#transfer!.isDamaged).toBe(true);
        this.refusals++;
        this.#endTransfer();
        target.check();
      },
    });
    this.#bytesOnTheWay = 0;
    this.#transfer = { scan, coming, install, chunks: [], isDamaged: false, isFinished: false };
  }

  #move(transfer: Transfer): void {
    const { scan, install, chunks } = transfer;
    if (this.#prng.chance(1, 60)) {
      install.abandon();
      this.#endTransfer();
      return;
    }
    const chunk = scan.read(this.#prng.pick([1, 100, 1000, 10_000]));
    if (chunk === undefined) return this.#finish(transfer);
    chunks.push(chunk.slice());
    const damaged = this.#prng.chance(1, 100) ? this.#damage(transfer, chunk) : chunk;
    this.#bytesOnTheWay += damaged.length;
    install.add(damaged);
    // Its memory is the caller's.
    chunk.fill(0xee);
  }

  #damage(transfer: Transfer, chunk: Bytes): Bytes {
    transfer.isDamaged = true;
    if (this.#prng.chance(1, 3)) return concatBytes([chunk, chunk, new Uint8Array([0x80])]);
    if (chunk.length === 0 || this.#prng.chance(1, 2)) return concatBytes([chunk, new Uint8Array([0x80])]);
    return chunk.slice(0, -1);
  }

  #finish(transfer: Transfer): void {
    const { scan, install, chunks, coming } = transfer;
    const rows = Array.from(decodeRows(concatBytes(chunks)), ({ key, sequence, record }) => {
      const { created, count, value } = decodeRecord(record);
      return [key, { value, created, modified: sequence, count }];
    });
    expect(rows as unknown[]).toEqual(modelOf(coming.changes).state());
    expect(concatBytes(chunks).length).toBeLessThanOrEqual(scan.bytes);
    install.finish({ sequence: scan.sequence, applied: scan.applied } satisfies InstallState);
    transfer.isFinished = true;
  }

  #installed(): void {
    const target = this.#target;
    const { isDamaged, scan } = this.#transfer!;
    expect([isDamaged, this.#bytesOnTheWay]).toEqual([false, 0]);
    target.become(this.#endTransfer()!);
    expect(target.store.sequence).toBe(scan.sequence);
    expect([target.store.applied, target.store.logStart]).toEqual([scan.applied, scan.applied]);
    this.installs++;
    target.check();
  }

  /** Keys at and above a limit are left out. */
  #checkLimited(): void {
    const source = this.#source;
    const limit = this.#prng.pick(keys);
    const scan = source.store.scanDurable({ limit });
    const found: Bytes[] = [];
    for (let chunk = scan.read(500); chunk !== undefined; chunk = scan.read(500))
      found.push(...Array.from(decodeRows(chunk), ({ key }) => key));
    scan.close();
    const state = modelOf(source.storedAt(scan.applied.index).changes).state();
    expect(found).toEqual(state.map(([key]) => key).filter((key) => Buffer.compare(key, limit) < 0));
  }

  /** Returns what was coming. */
  #endTransfer(): Stored | undefined {
    const transfer = this.#transfer;
    this.#transfer = undefined;
    transfer?.scan.close();
    return transfer?.coming;
  }
}
