/**
 * One random walk over everything that a store can do, in lock-step with the model: writes, reads of the present, of
 * snapshots and of the past, iterators that are held across flushes and merges, and restarts that lose what was not
 * flushed.
 */
import { expect } from "bun:test";
import type { Prng } from "../../src/env/prng.ts";
import { hashKey } from "../../src/leveldb/key-hash.ts";
import { LevelDB, type LevelDBOptions, type ReadOptions, type Snapshot } from "../../src/leveldb/level-db.ts";
import type { MergingIterator } from "../../src/leveldb/merging-iterator.ts";
import type { StoreEnv } from "../../src/leveldb/run-folder.ts";
import { WriteBatch } from "../../src/leveldb/write-batch.ts";
import { type Bytes, compareBytes, toUtf8 } from "../../src/lib/bytes.ts";
import { describeIterator, describeState, StoreModel } from "./store-model.ts";
import { failureOf } from "./text-store.ts";

interface HeldIterator {
  readonly iterator: MergingIterator;
  readonly keys: readonly Bytes[];
  readonly values: readonly Bytes[];
  /** Where the model's cursor stands; outside of the keys it is invalid. */
  place: number;
}

/** A state that is durable, or will be. */
interface Flushed {
  readonly applied: number;
  /** How much of the model it has. */
  readonly length: number;
  /** What it can be read from, at the least. */
  readonly floor: number;
}

/** What is read: a part of the model, and how the store is asked for it. */
interface Reading {
  readonly view: number;
  readonly options: ReadOptions | undefined;
}

const heldMax = 5;

export class StoreWalk {
  /** What the store has told. */
  readonly lines: string[] = [];
  readonly #env: StoreEnv;
  readonly #folder: string;
  readonly #prng: Prng;
  readonly #work: () => Promise<void> | void;
  readonly #autoFlush: boolean;
  readonly #model = new StoreModel();
  readonly #keys: readonly Bytes[];
  readonly #snapshots: { snapshot: Snapshot; view: number }[] = [];
  readonly #iterators: HeldIterator[] = [];
  #options: LevelDBOptions;
  #store: LevelDB;
  /** What was known to be durable, and what was sealed since, oldest first. */
  #flushed: Flushed[] = [{ applied: 0, length: 0, floor: 0 }];

  /** `work` gives the workers of the environment some time. */
  constructor(env: StoreEnv, folder: string, prng: Prng, work: () => Promise<void> | void) {
    this.#env = env;
    this.#folder = folder;
    this.#prng = prng;
    this.#work = work;
    this.#autoFlush = prng.chance(1, 6);
    this.#keys = randomKeys(prng, prng.int(1, 60));
    this.#options = this.#randomOptions();
    this.#store = LevelDB.open(env, folder, this.#options);
  }

  async run(steps: number): Promise<void> {
    for (let step = 0; step < steps; step++) await this.#step();
    this.#checkAll();
    this.#reopen();
    this.#checkAll();
    this.#store.compactRange();
    this.#checkAll();
    this.#store.close();
  }

  async #step(): Promise<void> {
    const dice = this.#prng.int(1, 1000);
    if (dice <= 250) this.#put();
    else if (dice <= 330) this.#delete();
    else if (dice <= 400) this.#write();
    else if (dice <= 580) this.#read();
    else if (dice <= 610) this.#readPast();
    else if (dice <= 650) this.#takeSnapshot();
    else if (dice <= 680) this.#releaseSnapshot();
    else if (dice <= 720) this.#openIterator();
    else if (dice <= 740) this.#closeIterator();
    else if (dice <= 830) this.#moveIterators();
    else if (dice <= 870) this.#seal();
    else if (dice <= 960) await this.#work();
    else if (dice <= 980) this.#flush();
    else if (dice <= 983) this.#flushOften();
    else if (dice <= 988) this.#compact();
    else if (dice <= 993) this.#store.rest(this.#prng.chance(1, 2));
    else if (dice <= 997) this.#checkAll();
    else this.#reopen();
  }

  /** What may differ from one opening to the next. */
  #randomOptions(): LevelDBOptions {
    const { int, pick } = { int: this.#prng.int.bind(this.#prng), pick: this.#prng.pick.bind(this.#prng) };
    return {
      createIfMissing: true,
      autoFlush: this.#autoFlush,
      memtableBytesMax: this.#autoFlush ? pick([500, 5000]) : pick([2000, 1024 * 1024]),
      cacheBytesMax: pick([0, 10_000, 1_000_000]),
      tableBytesMax: pick([50, 300, 5000]),
      runsMax: int(1, 6),
      historySequences: pick([0, 0, 3, 30, 1000]),
      report: (line) => this.lines.push(line),
    };
  }

  #put(): void {
    const [key, value, sequence] = [this.#key(), this.#value(), this.#nextSequence()];
    this.#store.put(key, value, sequence);
    this.#model.add(key, sequence, value);
    value.fill(0xee);
  }

  #delete(): void {
    const [key, sequence] = [this.#key(), this.#nextSequence()];
    this.#store.delete(key, sequence);
    this.#model.add(key, sequence, undefined);
  }

  #write(): void {
    const batch = new WriteBatch();
    const sequence = this.#nextSequence();
    for (let count = this.#prng.int(1, 8); count > 0; count--) {
      const key = this.#key();
      const value = this.#prng.chance(2, 3) ? this.#value() : undefined;
      if (value === undefined) batch.delete(key);
      else batch.put(key, value);
      this.#model.add(key, sequence, value);
    }
    this.#store.write(batch, sequence);
  }

  /** Mostly the next one; sometimes a jump, sometimes the last one again. */
  #nextSequence(): number {
    return this.#store.sequence + this.#prng.pick([0, 1, 1, 1, 1, 7]);
  }

  #read(): void {
    const key = this.#key();
    this.#compare(key, { view: this.#model.length, options: undefined });
    for (const { snapshot, view } of this.#snapshots) this.#compare(key, { view, options: { snapshot } });
  }

  /** At any sequence number there ever was: what is too old is refused, and everything else is as it was. */
  #readPast(): void {
    const held = this.#prng.chance(1, 3) ? this.#anySnapshot() : undefined;
    const present = held?.snapshot.sequence ?? this.#store.sequence;
    const floor = this.#floor;
    const from = this.#prng.chance(1, 2) ? Math.min(floor, present) : 0;
    const sequence = this.#prng.int(from, present);
    const options = held === undefined ? { sequence } : { sequence, snapshot: held.snapshot };
    const view = Math.min(held?.view ?? Infinity, this.#model.lengthAt(sequence));
    if (sequence >= floor || sequence === present) {
      for (let count = 0; count < 4; count++) this.#compare(this.#key(), { view, options });
      this.#hold({ view, options });
      return;
    }
    for (const use of [
      () => this.#store.get(this.#key(), options),
      () => this.#store.getRecord(this.#key(), options),
      () => this.#store.newIterator(options),
    ])
      expect(failureOf(use).code).toBe("COMPACTED");
  }

  #compare(key: Bytes, { view, options }: Reading): void {
    const expected = this.#model.record(view, key);
    expect(this.#store.get(key, options)).toEqual(expected?.value);
    expect(this.#store.getRecord(key, options)).toEqual(expected);
  }

  #takeSnapshot(): void {
    if (this.#snapshots.length === heldMax) return;
    const snapshot = this.#store.getSnapshot();
    expect(snapshot.sequence).toBe(this.#store.sequence);
    this.#snapshots.push({ snapshot, view: this.#model.length });
  }

  #releaseSnapshot(): void {
    if (this.#snapshots.length === 0) return;
    const [held] = this.#snapshots.splice(this.#prng.int(0, this.#snapshots.length - 1), 1);
    this.#store.releaseSnapshot(held!.snapshot);
  }

  #anySnapshot(): { snapshot: Snapshot; view: number } | undefined {
    return this.#snapshots.length === 0 ? undefined : this.#prng.pick(this.#snapshots);
  }

  #openIterator(): void {
    const held = this.#prng.chance(1, 3) ? this.#anySnapshot() : undefined;
    if (held === undefined) this.#hold({ view: this.#model.length, options: undefined });
    else this.#hold({ view: held.view, options: { snapshot: held.snapshot } });
  }

  #hold({ view, options }: Reading): void {
    if (this.#iterators.length === heldMax) return;
    const iterator = this.#store.newIterator(options);
    const state = this.#model.state(view);
    expect(iterator.valid()).toBe(false);
    const keys = state.map(([key]) => key);
    const values = state.map(([, record]) => record.value);
    this.#iterators.push({ iterator, keys, values, place: -1 });
  }

  #closeIterator(): void {
    if (this.#iterators.length === 0) return;
    const [held] = this.#iterators.splice(this.#prng.int(0, this.#iterators.length - 1), 1);
    held!.iterator.close();
  }

  #moveIterators(): void {
    for (const held of this.#iterators)
      for (let moves = this.#prng.int(1, 4); moves > 0; moves--) this.#move(held);
  }

  #move(held: HeldIterator): void {
    const { iterator, keys } = held;
    const dice = iterator.valid() ? this.#prng.int(1, 12) : this.#prng.int(1, 3);
    if (dice === 1) {
      iterator.seekToFirst();
      held.place = 0;
    } else if (dice === 2) {
      iterator.seekToLast();
      held.place = keys.length - 1;
    } else if (dice === 3) {
      const target = this.#key();
      iterator.seek(target);
      held.place = keys.findIndex((key) => compareBytes(key, target) >= 0);
    } else if (dice <= 8) {
      iterator.next();
      held.place++;
    } else {
      iterator.prev();
      held.place--;
    }
    const key = keys[held.place];
    expect(iterator.valid()).toBe(key !== undefined);
    if (key === undefined) return;
    expect(iterator.key()).toEqual(key);
    expect(iterator.value()).toEqual(held.values[held.place]!);
  }

  #flush(): void {
    const applied = { index: this.#flushed.at(-1)!.applied + this.#prng.int(0, 2), term: 1 };
    this.#store.flush(applied);
    expect(this.#store.applied).toEqual(applied);
    expect(this.#store.isSealed).toBe(false);
    this.#flushed = [this.#present(applied.index)];
  }

  #seal(): void {
    if (this.#autoFlush || !this.#store.canSeal) return;
    const index = this.#flushed.at(-1)!.applied + this.#prng.int(1, 2);
    this.#flushed.push(this.#present(index));
    this.#store.seal({ index, term: 1 });
  }

  /** Many small runs, so that they are merged beside a large merge that is under way. */
  #flushOften(): void {
    for (let count = 0; count < 9; count++) {
      this.#put();
      this.#flush();
    }
  }

  #compact(): void {
    const isWhole = this.#prng.chance(1, 2);
    this.#store.compactRange(isWhole ? undefined : this.#key(), isWhole ? undefined : this.#key());
  }

  #present(applied: number): Flushed {
    return { applied, length: this.#model.length, floor: this.#floor };
  }

  /** The oldest sequence number that can be read. */
  get #floor(): number {
    const kept = this.#options.historySequences!;
    return Math.max(this.#flushed[0]!.floor, this.#store.sequence - kept);
  }

  /** What was not flushed is gone, as after a crash, and so is the work that was under way. */
  #reopen(): void {
    const known = this.#store.applied.index;
    const floor = this.#floor;
    this.#store.close();
    this.#snapshots.length = 0;
    this.#iterators.length = 0;
    this.#options = this.#randomOptions();
    this.#store = LevelDB.open(this.#env, this.#folder, this.#options);
    const applied = this.#store.applied.index;
    expect(applied).toBeGreaterThanOrEqual(known);
    const found = this.#flushed.find((flushed) => flushed.applied === applied);
    expect(found, "what is there is what a flush has stored").toBeDefined();
    this.#flushed = [this.#autoFlush ? { applied, length: this.#model.length, floor } : found!];
    this.#model.truncate(this.#flushed[0]!.length);
    expect(this.#store.sequence).toBe(this.#model.sequence());
  }

  #checkAll(): void {
    for (const key of this.#keys) this.#compare(key, { view: this.#model.length, options: undefined });
    expect(describeIterator(this.#store.newIterator())).toBe(describeState(this.#model));
    for (const { snapshot, view } of this.#snapshots)
      expect(describeIterator(this.#store.newIterator({ snapshot }))).toBe(describeState(this.#model, view));
  }

  #key(): Bytes {
    return this.#prng.pick(this.#keys);
  }

  /** Small ones, and some that fill blocks, and chunks of a memtable. */
  #value(): Bytes {
    const length = this.#prng.chance(1, 300) ? 200_000 : this.#prng.pick([0, 1, 10, 10, 300, 300, 3000]);
    return new Uint8Array(length).fill(this.#prng.int(0, 255));
  }
}

/**
 * Short keys of few, awkward bytes, so that they are prefixes and neighbours of each other. Or somewhat longer ones
 * that a store notes as a sample of all keys, so that it knows how much of it is alive, and merges parts of it.
 */
function randomKeys(prng: Prng, count: number): Bytes[] {
  const isNoted = prng.chance(1, 2);
  const keys = [new Uint8Array(0), toUtf8("a longer key than the others")];
  while (keys.length < count + 2) {
    const length = isNoted ? prng.int(3, 6) : prng.int(1, 3);
    const key = Uint8Array.from({ length }, () => prng.pick([0, 1, 0x7f, 0x80, 0xc3, 0xff]));
    if (!isNoted || (hashKey(key) & 0xff) === 0) keys.push(key);
  }
  return keys;
}
