import { expect } from "bun:test";
import type { Prng } from "../../src/env/prng.ts";
import { LevelDB, type LevelDBOptions, type Snapshot } from "../../src/leveldb/level-db.ts";
import type { MergingIterator } from "../../src/leveldb/merging-iterator.ts";
import type { StoreEnv } from "../../src/leveldb/run-folder.ts";
import { WriteBatch } from "../../src/leveldb/write-batch.ts";
import { type Bytes, compareBytes, toUtf8 } from "../../src/lib/bytes.ts";
import { StoreModel } from "./store-model.ts";

interface HeldIterator {
  readonly iterator: MergingIterator;
  readonly keys: readonly Bytes[];
  readonly values: readonly Bytes[];
  /** Where the model's cursor stands; outside of the keys it is invalid. */
  place: number;
}

const heldMax = 5;

/** One random walk over everything a store can do, in lock-step with the model. */
export class StoreWalk {
  readonly #env: StoreEnv;
  readonly #folder: string;
  readonly #prng: Prng;
  readonly #options: LevelDBOptions;
  readonly #model = new StoreModel();
  readonly #keys: readonly Bytes[];
  readonly #snapshots: { snapshot: Snapshot; view: number }[] = [];
  readonly #iterators: HeldIterator[] = [];
  /** Ends a sync that is under way beside the event loop. */
  readonly #endSync: () => void;
  #store: LevelDB;
  /** How much of the model is durable, and how much will be with what is sealed. */
  #durable = 0;
  #sealed = 0;
  #applied = 0;

  constructor(env: StoreEnv, folder: string, prng: Prng, endSync = () => {}) {
    this.#env = env;
    this.#endSync = endSync;
    this.#folder = folder;
    this.#prng = prng;
    this.#options = { createIfMissing: true, runsMax: prng.int(1, 6) };
    this.#keys = randomKeys(prng, prng.int(1, 40));
    this.#store = LevelDB.open(env, folder, this.#options);
  }

  run(steps: number): void {
    for (let step = 0; step < steps; step++) this.#step();
    this.#checkAll();
    this.#reopen();
    this.#checkAll();
    this.#store.close();
  }

  #step(): void {
    const dice = this.#prng.int(1, 100);
    if (dice <= 25) this.#put();
    else if (dice <= 33) this.#delete();
    else if (dice <= 40) this.#write();
    else if (dice <= 60) this.#read();
    else if (dice <= 64) this.#takeSnapshot();
    else if (dice <= 67) this.#releaseSnapshot();
    else if (dice <= 71) this.#openIterator();
    else if (dice <= 73) this.#closeIterator();
    else if (dice <= 83) this.#moveIterators();
    else if (dice <= 86) this.#seal();
    else if (dice <= 96) this.#work();
    else if (dice <= 98) this.#flush();
    else if (this.#prng.chance(1, 4)) this.#reopen();
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
    this.#compare(key, undefined, this.#model.length);
    for (const { snapshot, view } of this.#snapshots) this.#compare(key, snapshot, view);
  }

  #compare(key: Bytes, snapshot: Snapshot | undefined, view: number): void {
    const options = snapshot === undefined ? undefined : { snapshot };
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

  #openIterator(): void {
    if (this.#iterators.length === heldMax) return;
    const held =
      this.#snapshots.length > 0 && this.#prng.chance(1, 3) ? this.#prng.pick(this.#snapshots) : undefined;
    const iterator = this.#store.newIterator(held === undefined ? undefined : { snapshot: held.snapshot });
    const state = this.#model.state(held?.view ?? this.#model.length);
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
    this.#applied += this.#prng.int(0, 2);
    const applied = { index: this.#applied, term: 1 };
    this.#store.flush(applied);
    expect(this.#store.applied).toEqual(applied);
    expect(this.#store.isSealed).toBe(false);
    this.#durable = this.#model.length;
  }

  #seal(): void {
    if (this.#store.isSealed) return;
    this.#applied += this.#prng.int(0, 2);
    this.#sealed = this.#model.length;
    this.#store.seal({ index: this.#applied, term: 1 });
  }

  #work(): void {
    const wasSealed = this.#store.isSealed;
    if (this.#prng.chance(1, 3)) this.#endSync();
    for (let slices = this.#prng.int(1, 6); slices > 0; slices--) {
      const isMore = this.#store.work(this.#prng.pick([1, 1, 3, 100]));
      expect(isMore).toBe(this.#store.hasWork);
      if (!isMore) break;
    }
    if (this.#store.isSealed || !wasSealed) return;
    expect(this.#store.applied).toEqual({ index: this.#applied, term: 1 });
    this.#durable = this.#sealed;
  }

  /** What was not flushed is gone, as after a crash, and so is the work that was under way. */
  #reopen(): void {
    this.#store.close();
    this.#snapshots.length = 0;
    this.#iterators.length = 0;
    this.#model.truncate(this.#durable);
    this.#store = LevelDB.open(this.#env, this.#folder, this.#options);
    expect(this.#store.sequence).toBe(this.#model.sequence());
    this.#applied = this.#store.applied.index;
  }

  #checkAll(): void {
    for (const key of this.#keys) this.#compare(key, undefined, this.#model.length);
    const iterator = this.#store.newIterator();
    const found: [Bytes, Bytes][] = [];
    for (iterator.seekToFirst(); iterator.valid(); iterator.next())
      found.push([iterator.key(), iterator.value()]);
    iterator.close();
    expect(found).toEqual(this.#model.state().map(([key, record]) => [key, record.value]));
  }

  #key(): Bytes {
    return this.#prng.pick(this.#keys);
  }

  #value(): Bytes {
    const length = this.#prng.pick([0, 1, 10, 300]);
    return new Uint8Array(length).fill(this.#prng.int(0, 255));
  }
}

/** Short keys of few, awkward bytes, so that they are prefixes and neighbours of each other. */
function randomKeys(prng: Prng, count: number): Bytes[] {
  const keys = [new Uint8Array(0), toUtf8("a longer key than the others")];
  while (keys.length < count + 2)
    keys.push(Uint8Array.from({ length: prng.int(1, 3) }, () => prng.pick([0, 1, 0x7f, 0x80, 0xc3, 0xff])));
  return keys;
}
