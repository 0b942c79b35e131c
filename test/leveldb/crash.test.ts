/**
 * Goal: a crash at any step leaves the state of the last flush or of the one under way, and a store that opens.
 * Method: two fixed stories on a disk that counts its steps, cut before each single one; then every disk image that the
 * crash may have left is opened, and so is every image of a second crash during that.
 */
import { expect, test } from "bun:test";
import { LevelDB } from "../../src/leveldb/level-db.ts";
import { toUtf8 } from "../../src/lib/bytes.ts";
import { KvraftError } from "../../src/lib/error.ts";
import { MemoryDisk, PowerCut } from "./memory-disk.ts";
import { MemoryTables } from "./memory-tables.ts";
import { StoreModel } from "./store-model.ts";
import { text } from "./text-store.ts";

const folder = "data/store";
const rounds = 6;

/** What a story has done when it is cut. */
interface Progress {
  wasOpened: boolean;
  /** The last flush that was known to be durable. */
  applied: number;
}

type Story = (disk: MemoryDisk, progress: Progress) => void;

const model = new StoreModel();
/** lengths[i]: how much of the model flush i made durable. */
const lengths = [0];

/** The writes of one round, into the store or into the model. */
function writeRound(round: number, put: (key: string, value: string | undefined) => void): void {
  for (let key = 0; key < 4; key++) put(`key${(round * 3 + key) % 10}`, `round ${round}`);
  put(`key${(round * 7) % 10}`, undefined);
  if (round > 2) put("often", `round ${round}`);
}

for (let round = 1; round <= rounds; round++) {
  writeRound(round, (key, value) =>
    model.add(toUtf8(key), round, value === undefined ? undefined : toUtf8(value)),
  );
  lengths.push(model.length);
}

/** Each round is flushed in one go. */
function playInline(disk: MemoryDisk, progress: Progress): void {
  disk.createFolder("data");
  disk.syncFolder(".");
  let store = open(disk, true);
  progress.wasOpened = true;
  for (let round = 1; round <= rounds; round++) {
    const snapshot = store.getSnapshot();
    writeRound(round, (key, value) => {
      if (value === undefined) store.delete(toUtf8(key), round);
      else store.put(toUtf8(key), toUtf8(value), round);
    });
    store.flush({ index: round, term: 1 });
    progress.applied = round;
    store.releaseSnapshot(snapshot);
    if (round === 4) {
      store.close();
      store = open(disk, false);
    }
  }
  store.close();
}

/**
 * Each round is sealed, and its flush and the merges go on in slices of a row between the writes and reads of the
 * next. A sync beside the event loop ends when there is nothing else to do.
 */
function playInSlices(disk: MemoryDisk, progress: Progress): void {
  disk.createFolder("data");
  disk.syncFolder(".");
  let tables = new MemoryTables(disk);
  let store = open(disk, true, tables);
  progress.wasOpened = true;
  const present = new Map<string, string | undefined>();
  const workSome = () => {
    if (!store.work(1)) tables.endSync();
    progress.applied = store.applied.index;
    for (const [key, value] of present) expect(text(store.get(toUtf8(key)))).toBe(value);
  };
  for (let round = 1; round <= rounds; round++) {
    writeRound(round, (key, value) => {
      if (value === undefined) store.delete(toUtf8(key), round);
      else store.put(toUtf8(key), toUtf8(value), round);
      present.set(key, value);
      if (round % 2 === 0) workSome();
    });
    while (store.isSealed) workSome();
    store.seal({ index: round, term: 1 });
    if (round !== 4) continue;
    while (store.isSealed) workSome();
    for (let slices = 0; slices < 4; slices++) workSome();
    store.close();
    tables = new MemoryTables(disk);
    store = open(disk, false, tables);
  }
  while (store.isSealed || store.hasWork) workSome();
  store.close();
}

const stories: [string, Story][] = [
  ["inline", playInline],
  ["in slices", playInSlices],
];

function open(disk: MemoryDisk, createIfMissing: boolean, tables = new MemoryTables(disk)): LevelDB {
  return LevelDB.open({ disk, tables }, folder, { createIfMissing, runsMax: 3 });
}

function expectWhole(disk: MemoryDisk, progress: Progress, where: string): void {
  const store = open(disk, !progress.wasOpened);
  const applied = store.applied.index;
  expect([progress.applied, progress.applied + 1], where).toContain(applied);
  const found: unknown[] = [];
  const iterator = store.newIterator();
  for (iterator.seekToFirst(); iterator.valid(); iterator.next())
    found.push([iterator.key(), store.getRecord(iterator.key())]);
  expect(found, where).toEqual(model.state(lengths[applied]!));
  expect(store.sequence, where).toBe(applied);
  store.close();
  const strangers = disk.list(folder).filter((name) => !/^(MANIFEST|LOCK|\d{6}\.run)$/.test(name));
  expect(strangers, where).toEqual([]);
}

/** A story up to a step, or undefined when it ends before. */
function playUntil(play: Story, step: number): { disk: MemoryDisk; progress: Progress } | undefined {
  const disk = new MemoryDisk();
  const progress = { wasOpened: false, applied: 0 };
  disk.cutAt = step;
  try {
    play(disk, progress);
    return undefined;
  } catch (error) {
    if (!(error instanceof PowerCut)) throw error;
    return { disk, progress };
  }
}

test.each(stories)(
  "%s: a crash before any step of creation, flush, merge and removal loses whole flushes only",
  (_, play) => {
    let images = 0;
    for (let step = 1; ; step++) {
      const cut = playUntil(play, step);
      if (cut === undefined) break;
      for (const image of cut.disk.images()) {
        expectWhole(image, cut.progress, `crash at step ${step}, image ${++images}`);
      }
    }
    expect(images).toBeGreaterThan(200);
  },
);

test.each(stories)(
  "%s: a second crash, before any step of the first open after a crash, loses nothing more",
  (_, play) => {
    let recoveries = 0;
    for (let step = 1; ; step++) {
      const cut = playUntil(play, step);
      if (cut === undefined) break;
      for (const image of cut.disk.images()) {
        for (let cutAt = 1; ; cutAt++) {
          const again = image.copy();
          again.cutAt = cutAt;
          const where = `crash at step ${step}, then at step ${cutAt}`;
          if (!isCutOpening(again, cut.progress, where)) break;
          for (const second of again.images())
            expectWhole(second, cut.progress, `${where}, image ${++recoveries}`);
        }
      }
    }
    expect(recoveries).toBeGreaterThan(200);
  },
);

function isCutOpening(disk: MemoryDisk, progress: Progress, where: string): boolean {
  try {
    expectWhole(disk, progress, where);
    return false;
  } catch (error) {
    if (!(error instanceof PowerCut)) throw error;
    return true;
  }
}

test.each(stories)(
  "%s: what an open after kill -9 has reported is still there after a power cut",
  (_, play) => {
    let images = 0;
    for (let step = 1; ; step++) {
      const cut = playUntil(play, step);
      if (cut === undefined) break;
      if (!cut.progress.wasOpened) continue;
      cut.disk.killProcess();
      const applied = open(cut.disk, false).applied.index;
      for (const image of cut.disk.images()) {
        const store = open(image, false);
        expect(store.applied.index, `kill at step ${step}, image ${++images}`).toBe(applied);
        store.close();
      }
    }
    expect(images).toBeGreaterThan(50);
  },
);

test.each(stories)(
  "%s: a power cut in the middle of the open after kill -9 never leaves a MANIFEST whose runs were removed",
  (_, play) => {
    let images = 0;
    for (let step = 1; ; step++) {
      if (playUntil(play, step) === undefined) break;
      for (let cutAt = 1; ; cutAt++) {
        const cut = playUntil(play, step)!;
        if (!cut.progress.wasOpened) break;
        cut.disk.killProcess();
        cut.disk.cutAt = cut.disk.steps + cutAt;
        if (!isCutOpening(cut.disk, cut.progress, `kill at step ${step}`)) break;
        for (const image of cut.disk.images())
          expectWhole(image, cut.progress, `kill at step ${step}, cut at step ${cutAt}, image ${++images}`);
      }
    }
    expect(images).toBeGreaterThan(50);
  },
);

test.each(stories)(
  "%s: a crash in the middle of a change leaves what a later flush can build on",
  (_, play) => {
    for (let step = 1; ; step++) {
      const cut = playUntil(play, step);
      if (cut === undefined) break;
      for (const image of cut.disk.images()) {
        const store = open(image, true);
        const index = store.applied.index + 1;
        store.put(toUtf8("after"), toUtf8(String(step)), rounds + 1);
        store.flush({ index, term: 2 });
        store.close();
        const again = open(image, false);
        expect(again.applied).toEqual({ index, term: 2 });
        expect(again.get(toUtf8("after"))).toEqual(toUtf8(String(step)));
        expect(again.get(toUtf8("often"))).toEqual(model.record(lengths[index - 1]!, toUtf8("often"))?.value);
        again.close();
      }
    }
  },
);

test("a flush that fails leaves the store readable, and every later flush fails with the same error", () => {
  const disk = new MemoryDisk();
  disk.createFolder("data");
  const store = open(disk, true);
  store.put(toUtf8("a"), toUtf8("1"));
  store.flush({ index: 1, term: 1 });
  store.put(toUtf8("b"), toUtf8("2"));
  const full = new KvraftError("NO_SPACE", "Cannot sync: the disk is full");
  disk.beforeStep = (action) => {
    if (action === "sync") throw full;
  };
  expect(() => store.flush({ index: 2, term: 1 })).toThrow(full);
  disk.beforeStep = undefined;
  expect(() => store.flush({ index: 2, term: 1 })).toThrow(full);
  expect(store.get(toUtf8("a"))).toEqual(toUtf8("1"));
  expect(store.get(toUtf8("b"))).toEqual(toUtf8("2"));
  expect(store.applied.index).toBe(1);
  store.close();
  const again = open(disk, false);
  expect(again.applied.index).toBe(1);
  expect(again.get(toUtf8("b"))).toBeUndefined();
  again.close();
});
