/**
 * Goal: a crash at any step of an install leaves the old state or the new one, whole, with the applied entry and the start
 * of the log that belong to it, and no file of the other.
 * Method: a fixed story on a disk that forgets, noted before each single step: a store with merges under way, readers that
 * are held, and a flush that is queued when the other state comes, and dropped. Every disk image that a crash may have
 * left is opened, and so are the images of a second crash at any step of that open.
 */
import { beforeAll, expect, test } from "bun:test";
import { LevelDB } from "../../src/leveldb/level-db.ts";
import { type Applied, filesOf, readManifest } from "../../src/leveldb/manifest.ts";
import { type Bytes, toUtf8 } from "../../src/lib/bytes.ts";
import { imagesOf } from "./crash-images.ts";
import type { Moment } from "./crash-stories.ts";
import { MemoryDisk } from "./memory-disk.ts";
import { MemoryTables } from "./memory-tables.ts";
import { MemoryWorkers } from "./memory-workers.ts";
import { describeIterator } from "./store-model.ts";
import { folder, TextStore } from "./text-store.ts";
import { keyOf } from "./twin-store.ts";

const options = { tableBytesMax: 150, runsMax: 3 };
/** Subsets of unsynced names that are tried at a step. */
const imagesMax = 64;
const secondImagesMax = 4;
const nowhere: Applied = { index: 0, term: 0 };
const installed = { sequence: 1000, applied: { index: 50, term: 2 } };

/** What is there as of an applied entry. */
interface State {
  readonly shown: string;
  readonly sequence: number;
  readonly applied: Applied;
  readonly logStart: Applied;
}

/** All states that were durable, one after the other. */
const states: State[] = [];
const moments: Moment[] = [];
const lines: string[] = [];
let chunks: readonly Bytes[] = [];

function open(disk: MemoryDisk, createIfMissing = false): { store: LevelDB; workers: MemoryWorkers } {
  const env = { disk, tables: new MemoryTables(disk) };
  const workers = new MemoryWorkers(env);
  const report = (line: string) => lines.push(line);
  return {
    store: LevelDB.open({ ...env, workers }, folder, { ...options, createIfMissing, report }),
    workers,
  };
}

function sourceChunks(): Bytes[] {
  const db = new TextStore();
  for (let place = 0; place < 30; place += 2) db.put(keyOf(place), `new ${place}`, 900);
  db.flushOnly();
  const scan = db.store.scanDurable();
  const taken: Bytes[] = [];
  for (let chunk = scan.read(100); chunk !== undefined; chunk = scan.read(100)) taken.push(chunk);
  scan.close();
  return taken;
}

function stateOf(store: LevelDB, applied = store.applied): State {
  const { sequence, logStart } = store;
  return { shown: describeIterator(store.newIterator()), sequence, applied, logStart };
}

/** The story. */
class Play {
  readonly disk = new MemoryDisk();
  readonly store: LevelDB;
  readonly workers: MemoryWorkers;
  #round = 0;

  constructor() {
    this.disk.createFolder("data");
    this.disk.syncFolder(".");
    const { store, workers } = open(this.disk, true);
    this.store = store;
    this.workers = workers;
    states.push(stateOf(store));
    this.disk.beforeStep = () => this.#note();
  }

  #note(): void {
    moments.push({ disk: this.disk.fork(), wasOpened: true, applied: this.store.applied.index });
  }

  write(): void {
    const round = ++this.#round;
    for (let place = round % 3; place < 30; place += 3)
      if (place % 5 === round % 5) this.store.delete(toUtf8(keyOf(place)));
      else this.store.put(toUtf8(keyOf(place)), toUtf8(`${round} of ${place}`));
  }

  /** What is sealed is there later, unless it is dropped. */
  seal(index: number, willStay = true): void {
    const applied = { index, term: index < 50 ? 1 : 3 };
    if (willStay) states.push(stateOf(this.store, applied));
    this.store.seal(applied);
  }

  stepUntil(condition: () => boolean): void {
    while (!condition()) expect(this.workers.step() || condition()).toBe(true);
  }

  flush(index: number): void {
    this.seal(index);
    this.stepUntil(() => !this.store.isSealed);
  }

  run(): void {
    const { store, workers } = this;
    for (let index = 1; index <= 5; index++) {
      this.write();
      this.flush(index);
    }
    this.stepUntil(() => readManifest(this.disk, folder).merges.length > 0);
    const snapshot = store.getSnapshot();
    const shown = states.at(-1)!.shown;
    const told: string[] = [];
    const install = store.beginInstall({
      consumed: () => told.push("consumed"),
      installed: () => told.push("installed"),
      refused: () => told.push("refused"),
    });
    for (const chunk of chunks.slice(0, -1)) install.add(chunk);
    for (let step = 0; step < 3; step++) workers.step();
    this.write();
    this.flush(6);
    this.stepUntil(() => told.length === chunks.length - 1);
    this.stepUntil(() => store.logStart.index === 0 && !workers.step());
    this.write();
    this.seal(7);
    workers.step();
    this.write();
    this.seal(8, false);
    install.add(chunks.at(-1)!);
    install.finish(installed);
    this.stepUntil(() => told.includes("installed"));
    expect(told).toEqual([...chunks.map(() => "consumed"), "installed"]);
    states.push(stateOf(store));
    expect(describeIterator(store.newIterator({ snapshot }))).toBe(shown);
    workers.settle();
    store.releaseSnapshot(snapshot);
    workers.settle();
    for (let index = 51; index <= 54; index++) {
      this.write();
      this.flush(index);
    }
    store.rest(true);
    workers.settle();
    store.close();
    this.#note();
  }
}

beforeAll(() => {
  chunks = sourceChunks();
  new Play().run();
});

test("the story has what it is about", () => {
  expect(chunks.length).toBeGreaterThan(3);
  expect(moments.length).toBeGreaterThan(200);
  expect(states.map(({ applied }) => applied.index)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 50, 51, 52, 53, 54]);
  expect(states.map(({ logStart }) => logStart.index)).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 50, 50, 50, 50, 50]);
  expect(states.find(({ applied }) => applied.index === 50)).toMatchObject(installed);
  expect(nowhere).toEqual(states[0]!.logStart);
});

/** One of the two states that are possible, and nothing of the other. Returns its place. */
function expectState(disk: MemoryDisk, store: LevelDB, { applied: known }: Moment, where: string): number {
  const from = states.findIndex(({ applied }) => applied.index === known);
  const place = states.findIndex(({ applied }) => applied.index === store.applied.index);
  expect([from, from + 1], where).toContain(place);
  expect(stateOf(store), where).toEqual(states[place]!);
  const files = filesOf(readManifest(disk, folder)).map(
    ({ number }) => `${String(number).padStart(6, "0")}.run`,
  );
  expect(disk.list(folder), where).toEqual([...files.sort(), "MANIFEST"]);
  return place;
}

/** What is there can be built on: merges end, and the other state can be installed in any. */
function goOn(disk: MemoryDisk, store: LevelDB, workers: MemoryWorkers, place: number, where: string): void {
  store.rest(true);
  workers.settle();
  expect(describeIterator(store.newIterator()), where).toBe(states[place]!.shown);
  let isInstalled = false;
  const unexpected = (error: Error) => {
    throw error;
  };
  const install = store.beginInstall({
    consumed: () => {},
    installed: () => (isInstalled = true),
    refused: unexpected,
  });
  for (const chunk of chunks) install.add(chunk);
  const later = { sequence: 2000, applied: { index: 100, term: 9 } };
  install.finish(later);
  workers.settle();
  expect(isInstalled, where).toBe(true);
  store.close();
  const again = open(disk.atPeace()).store;
  const { shown } = states.find(({ applied }) => applied.index === 50)!;
  expect(stateOf(again), where).toEqual({ ...later, shown, logStart: later.applied });
  again.close();
}

test("a crash before any step leaves one state or the other, and nothing else in the folder", () => {
  const seen = new Set<string>();
  const places = new Set<number>();
  let [opens, removed] = [0, 0];
  for (const { image, moment, where } of imagesOf(moments, imagesMax)) {
    lines.length = 0;
    const { store, workers } = open(image);
    opens++;
    removed += lines.filter((line) => line.startsWith("Removed")).length;
    const place = expectState(image, store, moment, where);
    places.add(place);
    const state = image.atPeace().fingerprint();
    if (seen.has(state)) store.close();
    else goOn(image, store, workers, place, where);
    seen.add(state);
  }
  expect(opens).toBeGreaterThan(500);
  expect(removed).toBeGreaterThan(100);
  expect(seen.size).toBeGreaterThan(15);
  expect(places.size).toBe(states.length);
});

test("a second crash, before any step of the open after the first, leaves the same", () => {
  const seconds: Moment[] = [];
  for (const { image, moment, where } of imagesOf(moments, secondImagesMax)) {
    const disks: MemoryDisk[] = [];
    image.beforeStep = () => disks.push(image.fork());
    const { store } = open(image);
    image.beforeStep = undefined;
    expectState(image, store, moment, where);
    const applied = store.applied.index;
    store.close();
    for (const disk of disks) seconds.push({ disk, wasOpened: true, applied });
  }
  let opens = 0;
  for (const { image, moment, where } of imagesOf(seconds, secondImagesMax)) {
    const { store } = open(image);
    opens++;
    expectState(image, store, moment, where);
    expect(store.applied.index, where).toBe(moment.applied);
    store.close();
  }
  expect(opens).toBeGreaterThan(100);
});
