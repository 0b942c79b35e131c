/**
 * Goal: a crash at any step leaves the state of the last flush or of the one under way, and a store that opens, goes on
 * with its merges and finishes them.
 * Method: two fixed stories (crash-stories.ts) on a disk that forgets, noted before each single step. Every disk image
 * that a crash there may have left is opened, and so are the images of a second crash at any step of that open, and of
 * the merges that go on after it. Images that are equal, file by file, are opened once, and of stores that are equal
 * after the open one goes on. Of a second crash at most 8 images a step are tried, evenly spaced among all.
 */
import { beforeAll, expect, test } from "bun:test";
import type { LevelDB } from "../../src/leveldb/level-db.ts";
import { filesOf, readManifest } from "../../src/leveldb/manifest.ts";
import { toUtf8 } from "../../src/lib/bytes.ts";
import { KvraftError } from "../../src/lib/error.ts";
import { imagesOf } from "./crash-images.ts";
import {
  folder,
  lastSequenceOf,
  type Moment,
  modelOf,
  openStore,
  play,
  type Stage,
  type Story,
  stories,
} from "./crash-stories.ts";
import { MemoryDisk, PowerCut } from "./memory-disk.ts";
import { describeIterator, describeState, type StoreModel } from "./store-model.ts";
import { text } from "./text-store.ts";

const named = stories.map((story) => [story.name, story] as const);
const stages = new Map<Story, Stage>();
const models = new Map<Story, StoreModel>();
/** Images of a second crash that are tried at a step. */
const secondImagesMax = 8;

beforeAll(() => {
  for (const story of stories) {
    stages.set(story, play(story));
    models.set(story, modelOf(story));
  }
});

test("the stories have what they are about: merges in steps, at the bottom and above it, two at a time", () => {
  for (const story of stories) {
    const { moments, manifests } = stages.get(story)!;
    const parts = manifests.flatMap(({ runs }) => runs.flatMap((run) => run.parts));
    const merges = manifests.flatMap((manifest) => manifest.merges);
    expect(moments.length).toBeGreaterThan(200);
    expect(parts.some(({ from }) => from !== undefined)).toBe(true);
    expect(merges.length).toBeGreaterThan(5);
    expect(new Set(merges.map(({ isBottom }) => isBottom)).size).toBe(2);
  }
  const mergesAtOnce = stages.get(stories[1]!)!.manifests.map(({ merges }) => merges.length);
  expect(Math.max(...mergesAtOnce)).toBe(2);
  expect(stages.get(stories[0]!)!.manifests.at(-1)!.runs).toEqual([]);
});

test.each(named)(
  "%s: a crash before any step of creation, flush, merge and removal loses whole flushes only",
  (_, story) => {
    const recovery = new Recovery(story);
    for (const { image, moment, where } of imagesOf(stages.get(story)!.moments)) {
      const { store } = recovery.open(image, moment, where);
      const applied = store.applied.index;
      expect([moment.applied, moment.applied + 1], where).toContain(applied);
      recovery.goOn();
    }
    expect(recovery.opens).toBeGreaterThan(500);
    expect(recovery.continued).toBeGreaterThan(10);
  },
);

test.each(named)(
  "%s: a second crash, before any step of the first open after a crash, loses nothing more",
  (_, story) => {
    const first = new Recovery(story);
    const second = new Recovery(story);
    const seconds: Moment[] = [];
    for (const { image, moment, where } of imagesOf(stages.get(story)!.moments)) {
      const disks: MemoryDisk[] = [];
      const disk = image.fork();
      disk.beforeStep = () => disks.push(disk.fork());
      const { store } = first.open(disk, moment, where);
      const applied = store.applied.index;
      first.goOn();
      for (const again of disks) seconds.push({ disk: again, wasOpened: moment.wasOpened, applied });
    }
    for (const { image, moment, where } of imagesOf(seconds, secondImagesMax)) {
      const { store } = second.open(image, moment, `second ${where}`);
      expect(store.applied.index, where).toBe(moment.applied);
      second.goOn();
    }
    expect(second.opens).toBeGreaterThan(500);
  },
);

test.each(named)(
  "%s: what an open after kill -9 has reported is still there after a power cut",
  (_, story) => {
    const recovery = new Recovery(story);
    const opened: Moment[] = [];
    for (const [at, moment] of stages.get(story)!.moments.entries()) {
      if (!moment.wasOpened) continue;
      const disk = moment.disk.fork();
      const { store } = recovery.open(disk, moment, `kill before step ${at + 1}`);
      opened.push({ disk: disk.fork(), wasOpened: true, applied: store.applied.index });
      store.close();
    }
    for (const { image, moment, where } of imagesOf(opened, secondImagesMax)) {
      const { store } = recovery.open(image, moment, `power cut after an open, ${where}`);
      expect(store.applied.index, where).toBe(moment.applied);
      store.close();
    }
    expect(recovery.opens).toBeGreaterThan(200);
  },
);

test.each(named)(
  "%s: a power cut in the middle of the open after kill -9 never leaves a MANIFEST whose runs were removed",
  (_, story) => {
    const recovery = new Recovery(story);
    const cuts: Moment[] = [];
    for (const [at, moment] of stages.get(story)!.moments.entries()) {
      if (!moment.wasOpened) continue;
      const disk = moment.disk.fork();
      disk.beforeStep = () => cuts.push({ ...moment, disk: disk.fork() });
      recovery.open(disk, moment, `kill before step ${at + 1}`);
      recovery.goOn();
    }
    for (const { image, moment, where } of imagesOf(cuts, secondImagesMax)) {
      const { store } = recovery.open(image, moment, `power cut in an open, ${where}`);
      expect([moment.applied, moment.applied + 1], where).toContain(store.applied.index);
      recovery.goOn();
    }
    expect(recovery.opens).toBeGreaterThan(500);
  },
);

test.each(named)(
  "%s: a crash in the middle of a change leaves what a later flush can build on",
  (_, story) => {
    const recovery = new Recovery(story);
    const model = models.get(story)!;
    for (const { image, where } of imagesOf(stages.get(story)!.moments)) {
      const disk = image.fork();
      const { store } = openStore(story, disk, true);
      const index = store.applied.index + 1;
      if (!recovery.isNew(disk)) {
        store.close();
        continue;
      }
      const length = model.lengthAt(store.sequence);
      store.put(toUtf8("~after"), toUtf8(where));
      store.flush({ index, term: 2 });
      store.close();
      const again = openStore(story, disk.atPeace(), false);
      expect(again.store.applied).toEqual({ index, term: 2 });
      again.workers.settle();
      const expected = [describeState(model, length), `~after=${where}`].join(" ").trim();
      expect(describeIterator(again.store.newIterator())).toBe(expected);
      again.store.close();
    }
  },
);

test("a flush that fails leaves the store readable, and every later flush fails with the same error", () => {
  const story = stories[0]!;
  const disk = new MemoryDisk();
  disk.createFolder("data");
  const { store, workers } = openStore(story, disk, true);
  store.put(toUtf8("a"), toUtf8("1"));
  store.flush({ index: 1, term: 1 });
  workers.settle();
  store.put(toUtf8("b"), toUtf8("2"));
  const full = new KvraftError("NO_SPACE", "Cannot sync: the disk is full");
  disk.beforeStep = (action) => {
    if (action === "sync") throw full;
  };
  const flush = () => store.flush({ index: 2, term: 1 });
  expect(flush).toThrow(full.message);
  disk.beforeStep = undefined;
  const stepsBefore = disk.steps;
  for (const again of [flush, flush, () => store.flushSealed(), () => store.compactRange()])
    expect(again).toThrow(full.message);
  workers.settle();
  expect(disk.steps).toBe(stepsBefore);
  expect(store.failure?.code).toBe("NO_SPACE");
  expect(text(store.get(toUtf8("a")))).toBe("1");
  expect(text(store.get(toUtf8("b")))).toBe("2");
  expect(store.applied.index).toBe(1);
  store.close();
  const again = openStore(story, disk, false).store;
  expect(again.applied.index).toBe(1);
  expect(again.get(toUtf8("b"))).toBeUndefined();
  again.close();
});

test("a power cut is no failure of the disk: nothing is done after it", () => {
  const disk = new MemoryDisk();
  disk.createFolder("data");
  const { store } = openStore(stories[0]!, disk, true);
  store.put(toUtf8("a"), toUtf8("1"));
  disk.cutAt = disk.steps + 3;
  expect(() => store.flush({ index: 1, term: 1 })).toThrow(PowerCut);
  expect(disk.steps).toBe(disk.cutAt);
  expect(store.failure).toBeUndefined();
});

/** Opens what crashes have left, and checks it. */
class Recovery {
  opens = 0;
  continued = 0;
  readonly #story: Story;
  readonly #model: StoreModel;
  readonly #seen = new Set<string>();
  #last: { store: LevelDB; disk: MemoryDisk; work: () => void; where: string } | undefined;

  constructor(story: Story) {
    this.#story = story;
    this.#model = models.get(story)!;
  }

  /** Whether no disk with these files was seen before. */
  isNew(disk: MemoryDisk): boolean {
    const state = disk.atPeace().fingerprint();
    if (this.#seen.has(state)) return false;
    this.#seen.add(state);
    return true;
  }

  /** The store must hold what some flush has made durable, and no more. */
  open(disk: MemoryDisk, { wasOpened }: Moment, where: string): { store: LevelDB } {
    const { store, workers } = openStore(this.#story, disk, !wasOpened);
    this.opens++;
    expect(store.sequence, where).toBe(lastSequenceOf(store.applied.index));
    this.#expectContent(store, where);
    this.#last = { store, disk, work: () => workers.settle(), where };
    return { store };
  }

  /** All merges of the store are finished, under readers that are held. Then it is closed. */
  goOn(): void {
    const { store, disk, work, where } = this.#last!;
    if (this.isNew(disk)) {
      this.continued++;
      const snapshot = store.getSnapshot();
      const iterator = store.newIterator();
      store.rest(true);
      work();
      this.#expectContent(store, where);
      const expected = describeState(this.#model, this.#model.lengthAt(store.sequence));
      expect(describeIterator(iterator), where).toBe(expected);
      expect(describeIterator(store.newIterator({ snapshot })), where).toBe(expected);
      store.releaseSnapshot(snapshot);
      work();
      this.#expectTidy(disk, where);
    }
    store.close();
  }

  /** The content is that of a flush, in the present and at every sequence number that can be read. */
  #expectContent(store: LevelDB, where: string): void {
    const model = this.#model;
    const { sequence } = store;
    const length = model.lengthAt(sequence);
    expect(describeIterator(store.newIterator()), where).toBe(describeState(model, length));
    for (const [key, record] of model.state(length))
      if (!Bun.deepEquals(store.getRecord(key), record)) expect(store.getRecord(key), where).toEqual(record);
    const floor = Math.max(0, sequence - (this.#story.options.historySequences ?? 0));
    for (let past = floor; past < sequence; past++)
      expect(describeIterator(store.newIterator({ sequence: past })), `${where}, at ${past}`).toBe(
        describeState(model, model.lengthAt(past)),
      );
  }

  /** No merge is left, and no file that MANIFEST does not name. */
  #expectTidy(disk: MemoryDisk, where: string): void {
    const manifest = readManifest(disk, folder);
    expect(manifest.merges, where).toEqual([]);
    expect(manifest.runs.length, where).toBeLessThanOrEqual(this.#story.options.runsMax!);
    const files = filesOf(manifest).map(({ number }) => `${String(number).padStart(6, "0")}.run`);
    expect(disk.list(folder), where).toEqual([...files.sort(), "MANIFEST"]);
  }
}
