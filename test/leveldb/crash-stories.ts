/**
 * What a store goes through in the crash tests: fixed stories on a disk that notes what it looks like before each of
 * its steps, and what was known to be durable then.
 */
import { expect } from "bun:test";
import { hashKey } from "../../src/leveldb/key-hash.ts";
import { LevelDB, type LevelDBOptions } from "../../src/leveldb/level-db.ts";
import { type Manifest, readManifest } from "../../src/leveldb/manifest.ts";
import { toUtf8 } from "../../src/lib/bytes.ts";
import { MemoryDisk } from "./memory-disk.ts";
import { MemoryTables } from "./memory-tables.ts";
import { MemoryWorkers } from "./memory-workers.ts";
import { describeIterator, describeState, StoreModel } from "./store-model.ts";

export const folder = "data/store";

/** A moment at which the machine may die. */
export interface Moment {
  readonly disk: MemoryDisk;
  readonly wasOpened: boolean;
  /** The last flush that was known to be durable. */
  readonly applied: number;
}

export interface Story {
  readonly name: string;
  readonly rounds: number;
  readonly options: LevelDBOptions;
  writes(round: number): readonly Write[];
  play(stage: Stage): void;
}

interface Write {
  readonly key: string;
  /** Undefined for a deletion. */
  readonly value: string | undefined;
}

/** Round n is applied entry n; its writes have the sequence numbers 2n - 1 and 2n. */
export function lastSequenceOf(round: number): number {
  return 2 * round;
}

/** What each round adds, as the model has it. */
export function modelOf(story: Story): StoreModel {
  const model = new StoreModel();
  for (let round = 1; round <= story.rounds; round++)
    eachWrite(story, round, ({ key, value }, sequence) =>
      model.add(toUtf8(key), sequence, value === undefined ? undefined : toUtf8(value)),
    );
  return model;
}

function eachWrite(story: Story, round: number, write: (write: Write, sequence: number) => void): void {
  const writes = story.writes(round);
  for (const [at, one] of writes.entries()) write(one, 2 * round - (at < writes.length >> 1 ? 1 : 0));
}

/** A store on a disk, with a worker that works when it is told to. */
export function openStore(story: Story, disk: MemoryDisk, createIfMissing: boolean): OpenStore {
  const env = { disk, tables: new MemoryTables(disk) };
  const workers = new MemoryWorkers(env);
  const store = LevelDB.open({ ...env, workers }, folder, { ...story.options, createIfMissing });
  return { store, workers };
}

export interface OpenStore {
  readonly store: LevelDB;
  readonly workers: MemoryWorkers;
}

/** Where a story is played. */
export class Stage {
  readonly disk = new MemoryDisk();
  readonly moments: Moment[] = [];
  /** Every MANIFEST that was there. */
  readonly manifests: Manifest[] = [];
  readonly #story: Story;
  readonly #model = new StoreModel();
  #open: OpenStore | undefined;
  #isManifestNext = false;
  /** Readers that are held: what they see, and whether that is as it was. */
  #readers: { check: () => void; release: () => void }[] = [];

  constructor(story: Story) {
    this.#story = story;
    this.disk.beforeStep = (action) => {
      this.#note();
      this.#isManifestNext = action === "rename";
    };
  }

  get store(): LevelDB {
    return this.#open!.store;
  }

  open(): void {
    this.#open = openStore(this.#story, this.disk, this.#open === undefined);
  }

  reopen(): void {
    this.#readers = [];
    this.store.close();
    this.open();
  }

  write(round: number): void {
    eachWrite(this.#story, round, ({ key, value }, sequence) => {
      if (value === undefined) this.store.delete(toUtf8(key), sequence);
      else this.store.put(toUtf8(key), toUtf8(value), sequence);
      this.#model.add(toUtf8(key), sequence, value === undefined ? undefined : toUtf8(value));
    });
  }

  seal(round: number): void {
    this.store.seal({ index: round, term: 1 });
  }

  flush(round: number): void {
    this.store.flush({ index: round, term: 1 });
  }

  /** One slice of the worker's, after which everything is read. Returns whether there was something to do. */
  step(): boolean {
    const isBusy = this.#open!.workers.step();
    this.check();
    return isBusy;
  }

  settle(): void {
    while (this.step());
  }

  /** Requires that the worker gets there. */
  stepUntil(condition: () => boolean): void {
    while (!condition()) if (!this.step() && !condition()) throw new Error("the worker has stopped before");
  }

  check(): void {
    expect(describeIterator(this.store.newIterator())).toBe(describeState(this.#model));
    for (const reader of this.#readers) reader.check();
  }

  /** From here on a snapshot and an iterator, which stands in the middle, are held. */
  hold(): void {
    const { store } = this;
    const view = this.#model.length;
    const snapshot = store.getSnapshot();
    const iterator = store.newIterator();
    const keys = this.#model.state(view).map(([key]) => key);
    let place = keys.length >> 1;
    if (keys.length > 0) iterator.seek(keys[place]!);
    this.#readers.push({
      check: () => {
        expect(describeIterator(store.newIterator({ snapshot }))).toBe(describeState(this.#model, view));
        if (keys.length === 0) return;
        expect(iterator.key()).toEqual(keys[place]!);
        place = (place + 1) % keys.length;
        if (place === 0) iterator.seekToFirst();
        else iterator.next();
      },
      release: () => {
        iterator.close();
        store.releaseSnapshot(snapshot);
      },
    });
  }

  release(): void {
    for (const reader of this.#readers.splice(0)) reader.release();
  }

  end(): void {
    this.store.close();
    this.#note();
  }

  /** The MANIFEST of now. */
  get manifest(): Manifest {
    return readManifest(this.disk, folder);
  }

  #note(): void {
    const open = this.#open;
    const applied = open?.store.applied.index ?? 0;
    this.moments.push({ disk: this.disk.fork(), wasOpened: open !== undefined, applied });
    if (this.#isManifestNext) this.manifests.push(this.manifest);
  }
}

/** All moments of a story at which a step was about to happen, and its end. */
export function play(story: Story): Stage {
  const stage = new Stage(story);
  stage.disk.createFolder("data");
  stage.disk.syncFolder(".");
  stage.open();
  story.play(stage);
  stage.end();
  return stage;
}

/** Keys that a store notes as a sample of all keys, so that it knows also of a few how much of it is alive. */
const notedKeys = takeNoted(30);

function takeNoted(count: number): string[] {
  const keys: string[] = [];
  for (let number = 0; keys.length < count; number++)
    if ((hashKey(toUtf8(`key${number}`)) & 0xff) === 0) keys.push(`key${number}`);
  return keys;
}

const long = "long ".repeat(1000);

/** Each round is flushed in one go, and all merges are done before the next. At the end everything is deleted. */
const inline: Story = {
  name: "inline",
  rounds: 7,
  options: { runsMax: 3, tableBytesMax: 100 },
  writes(round) {
    const keys = Array.from({ length: 10 }, (_, number) => `key${number}`);
    if (round === 7) return [...keys, "long", "often"].map((key) => ({ key, value: undefined }));
    const writes: Write[] = [];
    for (let key = 0; key < 4; key++)
      writes.push({ key: keys[(round * 3 + key) % 10]!, value: `round ${round}` });
    writes.push({ key: keys[(round * 7) % 10]!, value: undefined });
    if (round % 3 === 2) writes.push({ key: "long", value: long });
    if (round > 2) writes.push({ key: "often", value: `round ${round}` });
    return writes;
  },
  play(stage) {
    for (let round = 1; round <= this.rounds; round++) {
      if (round === 2 || round === 6) stage.hold();
      stage.write(round);
      stage.flush(round);
      stage.settle();
      if (round === 3) stage.release();
      if (round === 4) stage.reopen();
      if (round >= 5) stage.store.compactRange();
      stage.check();
      if (round === 6) stage.release();
    }
    stage.settle();
  },
};

/**
 * Each round is sealed, and its flush and the merges go on between the writes and reads of the next. A large merge is
 * interrupted by a restart, and by many small flushes, which are merged among themselves before it ends.
 */
const inSlices: Story = {
  name: "in slices",
  rounds: 15,
  options: { runsMax: 3, tableBytesMax: 100, historySequences: 3 },
  writes(round) {
    // So small that eight of them are merged, whatever else is.
    if (round > 5 && round <= 14) return [{ key: notedKeys[round]!, value: `${round}` }];
    return Array.from({ length: 7 }, (_, at) => ({
      key: notedKeys[(round * 5 + at) % notedKeys.length]!,
      value: (round + at) % 6 === 0 ? undefined : `round ${round}`,
    }));
  },
  play(stage) {
    for (let round = 1; round <= 4; round++) {
      stage.write(round);
      stage.stepUntil(() => stage.store.canSeal);
      stage.seal(round);
      if (round === 2) stage.step();
    }
    stage.hold();
    stage.write(5);
    stage.stepUntil(() => stage.store.canSeal);
    stage.seal(5);
    stage.stepUntil(() => isMidMerge(stage));
    stage.release();
    stage.reopen();
    for (let round = stage.store.applied.index + 1; round <= 14; round++) {
      stage.write(round);
      stage.seal(round);
      stage.stepUntil(() => !stage.store.isSealed);
    }
    stage.hold();
    stage.stepUntil(() => stage.manifest.merges.length > 1);
    stage.write(15);
    stage.seal(15);
    stage.step();
    stage.release();
    stage.settle();
    stage.store.rest(true);
    stage.settle();
  },
};

/** Whether MANIFEST tells of a merge that has moved a part of its inputs. */
function isMidMerge({ manifest }: Stage): boolean {
  return manifest.runs.some((run) => run.parts.some((part) => part.from !== undefined));
}

export const stories: readonly Story[] = [inline, inSlices];
