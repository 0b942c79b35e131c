/**
 * Goal: whoever knows LevelDB knows this store. Method: random operations in lock-step with the real one (Google's, in
 * the package classic-level), while ours seals, flushes and merges at chance; everything that is read must be the same,
 * in the same order.
 */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ClassicLevel } from "classic-level";
import type { Prng } from "../../src/env/prng.ts";
import { realEnv } from "../../src/env/real-env.ts";
import { LevelDB, type Snapshot } from "../../src/leveldb/level-db.ts";
import type { MergingIterator } from "../../src/leveldb/merging-iterator.ts";
import type { StoreEnv } from "../../src/leveldb/run-folder.ts";
import { WriteBatch } from "../../src/leveldb/write-batch.ts";
import { type Bytes, compareBytes } from "../../src/lib/bytes.ts";
import { MemoryDisk } from "./memory-disk.ts";
import { MemoryTables } from "./memory-tables.ts";
import { MemoryWorkers } from "./memory-workers.ts";
import { eachSeedLater } from "./seed.ts";

const folder = mkdtempSync(join(tmpdir(), "kvraft-classic-level-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Classic = ClassicLevel<Bytes, Bytes>;
type ClassicSnapshot = ReturnType<Classic["snapshot"]>;
type ClassicIterator = ReturnType<Classic["iterator"]>;
type Pair = readonly [Bytes, Bytes];

interface Snapshots {
  readonly ours: Snapshot;
  readonly theirs: ClassicSnapshot;
}

/** Iterators that go one way and are held. LevelDB's in this package cannot turn round. */
interface Iterators {
  readonly snapshot: Snapshots | undefined;
  readonly ours: MergingIterator;
  readonly theirs: ClassicIterator;
  readonly isReverse: boolean;
  /** Before the first move neither of them stands anywhere. */
  isStarted: boolean;
}

const heldMax = 4;
const encodings = { keyEncoding: "view", valueEncoding: "view" } as const;

test("a store answers what LevelDB does, whatever is flushed and merged meanwhile", async () => {
  await eachSeedLater(12, async (prng, seed) => {
    const disk = new MemoryDisk();
    disk.createFolder("data");
    const tables = new MemoryTables(disk);
    const workers = new MemoryWorkers({ disk, tables: new MemoryTables(disk) });
    const work = () => {
      for (let slices = prng.int(1, 20); slices > 0; slices--) workers.step();
    };
    const env = { disk, tables, workers };
    await new Twins(env, "data/store", join(folder, `memory-${seed}`), prng, work).run(500);
    expect(tables.openCount).toBe(0);
  });
});

test("a store on files, with a worker in a thread, answers what LevelDB does", async () => {
  await eachSeedLater(2, async (prng, seed) => {
    const path = join(folder, `files-${seed}`);
    await new Twins(realEnv(), path, join(folder, `theirs-${seed}`), prng, () => Bun.sleep(1)).run(500);
  });
});

class Twins {
  readonly #env: StoreEnv;
  readonly #path: string;
  readonly #prng: Prng;
  readonly #work: () => Promise<void> | void;
  readonly #keys: readonly Bytes[];
  readonly #theirs: Classic;
  #ours: LevelDB;
  #snapshots: Snapshots[] = [];
  #iterators: Iterators[] = [];

  constructor(env: StoreEnv, path: string, theirPath: string, prng: Prng, work: () => Promise<void> | void) {
    this.#env = env;
    this.#path = path;
    this.#prng = prng;
    this.#work = work;
    this.#keys = randomKeys(prng, prng.int(5, 80));
    this.#theirs = new ClassicLevel<Bytes, Bytes>(theirPath, encodings);
    this.#ours = this.#open();
  }

  async run(steps: number): Promise<void> {
    await this.#theirs.open();
    for (let step = 0; step < steps; step++) await this.#step();
    await this.#readAll();
    await this.#reopen();
    await this.#readAll();
    this.#ours.close();
    await this.#theirs.close();
  }

  /** It flushes by itself, and at close. */
  #open(): LevelDB {
    return LevelDB.open(this.#env, this.#path, {
      createIfMissing: true,
      autoFlush: true,
      memtableBytesMax: this.#prng.pick([500, 5000]),
      tableBytesMax: this.#prng.pick([100, 2000]),
      runsMax: this.#prng.int(1, 5),
    });
  }

  async #step(): Promise<void> {
    const dice = this.#prng.int(1, 100);
    if (dice <= 25) await this.#put();
    else if (dice <= 33) await this.#delete();
    else if (dice <= 43) await this.#batch();
    else if (dice <= 55) await this.#get();
    else if (dice <= 59) this.#takeSnapshot();
    else if (dice <= 62) await this.#releaseSnapshot();
    else if (dice <= 66) this.#openIterator();
    else if (dice <= 68) await this.#closeIterator();
    else if (dice <= 80) await this.#moveIterators();
    else if (dice <= 85) await this.#readRange();
    else if (dice <= 87) await this.#readAll();
    else if (dice <= 95) await this.#work();
    else if (dice <= 97) this.#ours.flush(this.#ours.applied);
    else if (dice <= 98) await this.#compact();
    else if (this.#prng.chance(1, 3)) await this.#reopen();
  }

  async #put(): Promise<void> {
    const [key, value] = [this.#key(), this.#value()];
    this.#ours.put(key, value);
    await this.#theirs.put(key, value);
  }

  async #delete(): Promise<void> {
    const key = this.#key();
    this.#ours.delete(key);
    await this.#theirs.del(key);
  }

  async #batch(): Promise<void> {
    const ours = new WriteBatch();
    const theirs: ({ type: "put"; key: Bytes; value: Bytes } | { type: "del"; key: Bytes })[] = [];
    for (let count = this.#prng.int(1, 10); count > 0; count--) {
      const [key, value] = [this.#key(), this.#value()];
      if (this.#prng.chance(2, 3)) {
        ours.put(key, value);
        theirs.push({ type: "put", key, value });
      } else {
        ours.delete(key);
        theirs.push({ type: "del", key });
      }
    }
    this.#ours.write(ours);
    await this.#theirs.batch(theirs);
  }

  async #get(): Promise<void> {
    const key = this.#key();
    expect(plain(this.#ours.get(key))).toEqual(plain(await this.#theirs.get(key)));
    for (const { ours, theirs } of this.#snapshots)
      expect(plain(this.#ours.get(key, { snapshot: ours }))).toEqual(
        plain(await this.#theirs.get(key, { snapshot: theirs })),
      );
  }

  #takeSnapshot(): void {
    if (this.#snapshots.length === heldMax) return;
    this.#snapshots.push({ ours: this.#ours.getSnapshot(), theirs: this.#theirs.snapshot() });
  }

  /** Theirs wants the iterators that were made from it closed first. */
  async #releaseSnapshot(): Promise<void> {
    if (this.#snapshots.length === 0) return;
    const [held] = this.#snapshots.splice(this.#prng.int(0, this.#snapshots.length - 1), 1);
    for (const iterator of this.#iterators.filter(({ snapshot }) => snapshot === held)) await close(iterator);
    this.#iterators = this.#iterators.filter(({ snapshot }) => snapshot !== held);
    this.#ours.releaseSnapshot(held!.ours);
    await held!.theirs.close();
  }

  #openIterator(): void {
    if (this.#iterators.length === heldMax) return;
    const snapshot = this.#anySnapshot();
    const isReverse = this.#prng.chance(1, 2);
    const ours = this.#ours.newIterator(snapshot && { snapshot: snapshot.ours });
    const theirs = this.#theirs.iterator({
      reverse: isReverse,
      ...(snapshot && { snapshot: snapshot.theirs }),
    });
    this.#iterators.push({ snapshot, ours, theirs, isReverse, isStarted: false });
  }

  async #closeIterator(): Promise<void> {
    if (this.#iterators.length === 0) return;
    const [held] = this.#iterators.splice(this.#prng.int(0, this.#iterators.length - 1), 1);
    await close(held!);
  }

  /** A few steps of each iterator; sometimes it seeks first. */
  async #moveIterators(): Promise<void> {
    for (const held of this.#iterators) {
      const { ours, theirs, isReverse } = held;
      if (this.#prng.chance(1, 3)) {
        const target = this.#key();
        theirs.seek(target);
        seek(ours, target, isReverse);
        await this.#expectSame(held);
        held.isStarted = true;
      }
      for (let moves = this.#prng.int(1, 5); moves > 0; moves--) {
        if (!held.isStarted) toStart(ours, isReverse);
        else if (ours.valid()) step(ours, isReverse);
        held.isStarted = true;
        await this.#expectSame(held);
      }
    }
  }

  async #expectSame({ ours, theirs }: Iterators): Promise<void> {
    const pair = (await theirs.next()) as Pair | undefined;
    expect(ours.valid()).toBe(pair !== undefined);
    if (pair !== undefined) expect(plainPair([ours.key(), ours.value()])).toEqual(plainPair(pair));
  }

  /** From a key to another, either way. */
  async #readRange(): Promise<void> {
    const [gte, lt] = [this.#key(), this.#key()].sort(compareBytes) as [Bytes, Bytes];
    const snapshot = this.#anySnapshot();
    const reverse = this.#prng.chance(1, 2);
    const limit = this.#prng.pick([-1, 1, 3]);
    const theirs = await this.#theirs
      .iterator({ gte, lt, reverse, limit, ...(snapshot && { snapshot: snapshot.theirs }) })
      .all();
    const ours: Pair[] = [];
    const iterator = this.#ours.newIterator(snapshot && { snapshot: snapshot.ours });
    seek(iterator, reverse ? lt : gte, reverse);
    if (reverse && iterator.valid() && compareBytes(iterator.key(), lt) === 0) iterator.prev();
    while (iterator.valid() && ours.length !== limit) {
      const key = iterator.key();
      if (reverse ? compareBytes(key, gte) < 0 : compareBytes(key, lt) >= 0) break;
      ours.push([key, iterator.value()]);
      step(iterator, reverse);
    }
    iterator.close();
    expect(ours.map(plainPair)).toEqual(theirs.map(plainPair));
  }

  async #readAll(): Promise<void> {
    for (const reverse of [false, true]) {
      const iterator = this.#ours.newIterator();
      const ours: Pair[] = [];
      for (toStart(iterator, reverse); iterator.valid(); step(iterator, reverse))
        ours.push([iterator.key(), iterator.value()]);
      iterator.close();
      expect(ours.map(plainPair)).toEqual((await this.#theirs.iterator({ reverse }).all()).map(plainPair));
    }
  }

  async #compact(): Promise<void> {
    const [begin, end] = [this.#key(), this.#key()].sort(compareBytes) as [Bytes, Bytes];
    this.#ours.compactRange(begin, end);
    await this.#theirs.compactRange(begin, end);
  }

  async #reopen(): Promise<void> {
    for (const { theirs } of this.#iterators) await theirs.close();
    for (const { theirs } of this.#snapshots) await theirs.close();
    this.#iterators = [];
    this.#snapshots = [];
    this.#ours.close();
    await this.#theirs.close();
    await this.#theirs.open();
    this.#ours = this.#open();
  }

  #anySnapshot(): Snapshots | undefined {
    return this.#snapshots.length > 0 && this.#prng.chance(1, 2)
      ? this.#prng.pick(this.#snapshots)
      : undefined;
  }

  #key(): Bytes {
    return this.#prng.pick(this.#keys);
  }

  #value(): Bytes {
    const length = this.#prng.pick([0, 1, 10, 10, 100, 3000]);
    return new Uint8Array(length).fill(this.#prng.int(0, 255));
  }
}

async function close({ ours, theirs }: Iterators): Promise<void> {
  ours.close();
  await theirs.close();
}

function toStart(iterator: MergingIterator, isReverse: boolean): void {
  if (isReverse) iterator.seekToLast();
  else iterator.seekToFirst();
}

function step(iterator: MergingIterator, isReverse: boolean): void {
  if (isReverse) iterator.prev();
  else iterator.next();
}

/** To the first key at or beyond the target in the direction of travel. */
function seek(iterator: MergingIterator, target: Bytes, isReverse: boolean): void {
  iterator.seek(target);
  if (!isReverse) return;
  if (!iterator.valid()) iterator.seekToLast();
  else if (compareBytes(iterator.key(), target) > 0) iterator.prev();
}

/** Keys of few, awkward bytes, the empty one among them; more of them than are ever used. */
function randomKeys(prng: Prng, count: number): Bytes[] {
  const keys: Bytes[] = [new Uint8Array(0)];
  while (keys.length < count)
    keys.push(Uint8Array.from({ length: prng.int(1, 4) }, () => prng.pick([0, 1, 0x7f, 0x80, 0xc3, 0xff])));
  return keys;
}

/** Text, so that a Buffer equals a Uint8Array, and a difference can be read. */
function plain(bytes: Bytes | undefined): string | undefined {
  return bytes && Buffer.from(bytes).toString("hex");
}

function plainPair([key, value]: Pair): string {
  return `${plain(key)}=${plain(value)}`;
}
