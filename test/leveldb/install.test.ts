/** Goal: the durable state of one store becomes that of another, all of it at once, or nothing has happened. */
import { describe, expect, test } from "bun:test";
import type { Install, InstallHooks } from "../../src/leveldb/install.ts";
import type { LevelDBOptions } from "../../src/leveldb/level-db.ts";
import { filesOf } from "../../src/leveldb/manifest.ts";
import { decodeRows } from "../../src/leveldb/row-chunk.ts";
import { AssertionError } from "../../src/lib/assert.ts";
import { type Bytes, concatBytes, fromUtf8, toUtf8 } from "../../src/lib/bytes.ts";
import { KvraftError } from "../../src/lib/error.ts";
import { failureOf, folder, TextStore } from "./text-store.ts";
import { keyOf, manifestOf, unmergedStore } from "./twin-store.ts";

/** What an install has told so far. */
class Told implements InstallHooks {
  consumedBytes: number[] = [];
  said: string[] = [];

  consumed(bytes: number): void {
    this.consumedBytes.push(bytes);
  }

  installed(): void {
    this.said.push("installed");
  }

  refused({ code, message }: { code: string; message: string }): void {
    this.said.push(`${code}: ${message}`);
  }
}

function chunksOf(db: TextStore, bytesMax = 100): Bytes[] {
  const scan = db.store.scanDurable();
  const chunks: Bytes[] = [];
  for (let chunk = scan.read(bytesMax); chunk !== undefined; chunk = scan.read(bytesMax)) chunks.push(chunk);
  scan.close();
  return chunks;
}

/** A store of some runs that overlap, with an applied index above those of a target. */
function source(): TextStore {
  const { db } = unmergedStore(4, 120);
  for (let count = 0; count < 10; count++) db.flushOnly();
  return db;
}

function target(options: LevelDBOptions = {}): TextStore {
  const db = new TextStore({ tableBytesMax: 1000, ...options });
  for (const [key, value] of [
    ["a", "old"],
    [keyOf(5), "old"],
    ["z", "old"],
  ] as const)
    db.put(key, value);
  db.flushOnly();
  db.put("b", "in memory");
  return db;
}

function begin(db: TextStore, chunks: readonly Bytes[]): { install: Install; told: Told } {
  const told = new Told();
  const install = db.store.beginInstall(told);
  for (const chunk of chunks) install.add(chunk);
  return { install, told };
}

const later = { sequence: 10_000, applied: { index: 50, term: 3 } };

describe("a scan", () => {
  test("gives what is durable, row by row in order, and nothing that is in memory only", () => {
    const db = source();
    const expected = db.all();
    const { sequence } = db.store;
    db.put("memory", "only");
    db.delete(keyOf(1));
    db.seal();
    const scan = db.store.scanDurable();
    expect(scan.sequence).toBe(sequence);
    expect(scan.applied).toEqual({ index: 14, term: 1 });
    const rows = chunksOf(db).flatMap((chunk) => [...decodeRows(chunk)]);
    expect(rows.map(({ key }) => fromUtf8(key))).toEqual(
      expected.split(" ").flatMap((pair) => (pair.includes("=") ? [pair.split("=")[0]!] : [])),
    );
    expect(scan.bytes).toBeGreaterThan(concatBytes(chunksOf(db)).length);
    scan.close();
  });

  test("goes on over the state of its beginning, whatever is written, flushed and merged, and holds its files", () => {
    const db = source();
    const expected = chunksOf(db);
    const scan = db.store.scanDurable();
    const chunks: Bytes[] = [];
    for (let chunk = scan.read(100); chunk !== undefined; chunk = scan.read(100)) {
      chunks.push(chunk);
      db.put(keyOf(chunks.length * 2), "new");
      if (chunks.length % 5 === 0) db.flush();
    }
    db.store.compactRange();
    db.workers.settle();
    expect(chunks).toEqual(expected);
    expect(db.runFiles.length).toBeGreaterThan(manifestOf(db).runs.flatMap(({ parts }) => parts).length);
    scan.close();
    scan.close();
    db.workers.settle();
    expect(db.runFiles.length).toBe(manifestOf(db).runs.flatMap(({ parts }) => parts).length);
    expect(failureOf(() => scan.read(100)).code).toBe("CLOSED");
  });

  test("ends before its limit, and counts no files that lie behind it", () => {
    const db = source();
    const all = [...decodeRows(concatBytes(chunksOf(db)))].map(({ key }) => fromUtf8(key));
    for (const limit of ["", keyOf(0), keyOf(7), keyOf(60), "z"]) {
      const scan = db.store.scanDurable({ limit: toUtf8(limit) });
      const rows: string[] = [];
      for (let chunk = scan.read(64); chunk !== undefined; chunk = scan.read(64))
        rows.push(...Array.from(decodeRows(chunk), ({ key }) => fromUtf8(key)));
      expect(rows).toEqual(all.filter((key) => key < limit));
      if (limit <= keyOf(0)) expect(scan.bytes).toBe(0);
      scan.close();
    }
  });

  test("of an empty store ends at once, and the close of a store closes it", () => {
    const db = new TextStore();
    expect(chunksOf(db)).toEqual([]);
    const scan = db.store.scanDurable();
    db.store.close();
    scan.close();
    expect(db.tables.openCount).toBe(0);
  });

  test("that finds nothing but deletions for long gives an empty chunk, and goes on", () => {
    const db = new TextStore({ runsMax: 100 });
    for (let place = 0; place < 5000; place++) db.put(keyOf(place), "x");
    db.flushOnly();
    for (let place = 0; place < 4900; place++) db.delete(keyOf(place));
    db.flushOnly();
    const chunks = chunksOf(db, 100_000);
    expect(chunks.map((chunk) => [...decodeRows(chunk)].length)).toEqual([0, 0, 100]);
  });

  test("of a damaged file is CORRUPTION that names it, and lets go of everything when it is closed", () => {
    // In the first block of rows, which the scan begins with, and in one behind it.
    for (const at of [20, 6000]) {
      const { db } = unmergedStore(4, 1000);
      db.store.close();
      const path = `${folder}/${db.runFiles[0]!}`;
      db.disk.damage(path, db.disk.read(path)!.fill(0xff, at, at + 10));
      db.store = db.open();
      const scan = db.store.scanDurable();
      const failure = failureOf(() => {
        while (scan.read(50) !== undefined);
      });
      expect([failure.code, failure.message]).toEqual(["CORRUPTION", expect.stringContaining(path)]);
      scan.close();
      db.store.close();
      expect(db.tables.openCount).toBe(0);
    }
  });
});

describe("an install", () => {
  test("makes a store the other one: content, metadata, sequence number and applied entry", () => {
    const from = source();
    const db = target();
    const chunks = chunksOf(from);
    const { install, told } = begin(db, chunks);
    db.workers.settle();
    expect(told.consumedBytes).toEqual(chunks.map(({ length }) => length));
    const { sequence, applied } = from.store;
    install.finish({ sequence, applied });
    const before = db.all();
    expect(before).toContain("b=in memory");
    db.workers.settle();
    expect(told.said).toEqual(["installed"]);
    const check = () => {
      expect(db.all()).toBe(from.all());
      expect([db.store.sequence, db.store.applied, db.store.logStart]).toEqual([sequence, applied, applied]);
      for (let place = 0; place < 120; place++) {
        const key = toUtf8(keyOf(place));
        expect(db.store.getRecord(key)).toEqual(from.store.getRecord(key));
      }
      const manifest = manifestOf(db);
      expect([manifest.runs.length, manifest.merges, manifest.historyFloor]).toEqual([1, [], sequence]);
      expect(db.runFiles.length).toBe(manifest.runs[0]!.parts.length);
    };
    check();
    db.reopen();
    check();
    db.put("c", "later");
    db.store.flush({ index: 100, term: 4 });
    expect(db.store.logStart).toEqual(applied);
    db.reopen();
    expect([db.store.logStart, db.store.applied]).toEqual([applied, { index: 100, term: 4 }]);
    expect(db.get("c")).toBe("later");
  });

  test("of no rows makes an empty store", () => {
    const db = target();
    const { install, told } = begin(db, [new Uint8Array(0)]);
    install.finish(later);
    db.workers.settle();
    expect([told.said, db.all(), db.runFiles]).toEqual([["installed"], "", []]);
    db.put("a", "1");
    expect(db.store.sequence).toBe(10_001);
    db.reopen();
    expect([db.all(), db.store.sequence]).toEqual(["", 10_000]);
  });

  test("leaves readers that were there before with what they have seen", () => {
    const db = target();
    const before = db.all();
    const snapshot = db.store.getSnapshot();
    const iterator = db.store.newIterator();
    const sealed = db.store.getSnapshot();
    db.seal();
    const { install } = begin(db, chunksOf(source()));
    install.finish(later);
    db.workers.settle();
    expect(db.all(db.store.newIterator({ snapshot }))).toBe(before);
    expect(db.all(db.store.newIterator({ snapshot: sealed }))).toBe(before);
    expect(db.get("b", snapshot)).toBe("in memory");
    expect(failureOf(() => db.store.get(toUtf8("a"), { sequence: 1 })).code).toBe("COMPACTED");
    expect(db.all(iterator)).toBe(before);
    expect(db.tables.openCount).toBeGreaterThan(manifestOf(db).runs[0]!.parts.length);
    db.store.releaseSnapshot(snapshot);
    db.store.releaseSnapshot(sealed);
    db.workers.settle();
    expect(db.runFiles.length).toBe(manifestOf(db).runs[0]!.parts.length);
    expect(db.tables.openCount).toBe(db.runFiles.length);
  });

  test("drops flushes that wait, and what a merge has done of its step", () => {
    const { db } = unmergedStore(6, 300);
    db.store.rest(true);
    const before = db.runFiles.length;
    // A file of a step is there, and not complete.
    while (db.runFiles.length === before) db.workers.step();
    expect(db.tables.openCount).toBe(2 * filesOf(manifestOf(db)).length);
    for (let place = 0; place < 1000; place++) db.put(keyOf(place), "x".repeat(100));
    db.seal();
    db.put("sealed", "too");
    db.seal();
    const known = manifestOf(db);
    const files = db.runFiles.length;
    const from = source();
    const { install, told } = begin(db, chunksOf(from));
    // The flush has begun, and some of its files are complete.
    for (let slices = 0; slices < 5; slices++) db.workers.step();
    expect(db.runFiles.length).toBeGreaterThan(files + 2);
    expect(manifestOf(db)).toEqual(known);
    install.finish(later);
    db.workers.settle();
    expect(told.said).toEqual(["installed"]);
    expect(db.store.isSealed).toBe(false);
    expect(db.all()).toBe(from.all());
    const named = filesOf(manifestOf(db)).length;
    expect([db.runFiles.length, db.tables.openCount]).toEqual([named, named]);
    db.reopen();
    expect(db.all()).toBe(from.all());
  });

  test("is refused when rows are damaged, in whichever chunk, and nothing has changed", () => {
    const chunks = chunksOf(source(), 2000);
    for (const damaged of chunks.keys()) {
      const db = target();
      const before = db.all();
      const bad = chunks.map((chunk, at) => (at === damaged ? chunk.subarray(0, chunk.length - 1) : chunk));
      const { install, told } = begin(db, bad);
      install.finish(later);
      db.workers.settle();
      expect(told.said).toEqual([
        expect.stringMatching(
          new RegExp(
            `^CORRUPTION: Cannot install the rows of another store: .*chunk ${damaged + 1}: a record ends`,
          ),
        ),
      ]);
      expect([db.all(), db.runFiles.length, db.failures]).toEqual([before, 1, []]);
      db.put("c", "goes on");
      db.flush();
      const again = begin(db, chunks);
      again.install.finish(later);
      db.workers.settle();
      expect(again.told.said).toEqual(["installed"]);
    }
  });

  test("that is refused at its end has cost the old state nothing: what was sealed is stored, and merges go on", () => {
    const chunks = chunksOf(source(), 2000);
    for (const slices of [0, 1, 3, 6, 12]) {
      const { db } = unmergedStore(6, 300);
      db.store.rest(true);
      for (let place = 0; place < 1000; place++) db.put(keyOf(place), "x".repeat(100));
      db.seal();
      db.put("sealed", "too");
      db.seal();
      const before = db.all();
      const { install, told } = begin(db, chunks);
      for (let slice = 0; slice < slices; slice++) db.workers.step();
      install.add(toUtf8("no rows"));
      install.finish(later);
      db.workers.settle();
      expect(told.said[0]).toContain(`chunk ${chunks.length + 1}: `);
      expect([db.store.isSealed, db.store.applied.index, db.store.logStart.index]).toEqual([false, 8, 0]);
      expect(manifestOf(db).merges).toEqual([]);
      expect(db.all()).toBe(before);
      db.reopen();
      expect([db.all(), db.runFiles.length]).toEqual([before, filesOf(manifestOf(db)).length]);
    }
  });

  test("is refused when chunks do not follow each other, or hold what is newer than the whole", () => {
    const chunks = chunksOf(source());
    for (const [rows, state] of [
      [chunks.toReversed(), later],
      [[...chunks, chunks.at(-1)!], later],
      [chunks, { ...later, sequence: 5 }],
    ] as const) {
      const db = target();
      const before = db.all();
      const { install, told } = begin(db, rows);
      install.finish(state);
      db.workers.settle();
      expect(told.said.length).toBe(1);
      expect(told.said[0]).toStartWith("CORRUPTION");
      expect([db.all(), db.runFiles.length]).toEqual([before, 1]);
    }
  });

  test("may be given up at any step, and another one be begun at once", () => {
    const chunks = chunksOf(source(), 500);
    for (let steps = 0; ; steps++) {
      const db = target({ tableBytesMax: 300 });
      const before = db.all();
      const { install, told } = begin(db, chunks);
      let isBusy = true;
      for (let step = 0; step < steps && isBusy; step++) isBusy = db.workers.step();
      install.abandon();
      install.abandon();
      const other = begin(db, []);
      other.install.abandon();
      db.workers.settle();
      expect([db.all(), db.runFiles.length, db.tables.openCount, told.said]).toEqual([before, 1, 1, []]);
      db.seal();
      const { install: last, told: done } = begin(db, chunks);
      last.finish(later);
      db.workers.settle();
      expect(done.said).toEqual(["installed"]);
      if (!isBusy) break;
    }
  });

  test("is only one, takes only what is newer, and writes wait until it is done", () => {
    const db = target();
    const { install } = begin(db, []);
    expect(() => begin(db, [])).toThrow(AssertionError);
    expect(() => install.finish({ ...later, applied: db.store.applied })).toThrow("not newer");
    expect(() => install.finish({ ...later, sequence: db.store.sequence - 1 })).toThrow("never go back");
    db.seal();
    expect(() => install.finish({ ...later, applied: { index: 2, term: 1 } })).toThrow("not newer");
    install.finish(later);
    for (const use of [
      () => db.put("a", "1"),
      () => db.delete("a"),
      () => db.seal(),
      () => db.flushOnly(),
      () => install.add(new Uint8Array(0)),
      () => install.finish(later),
      () => install.abandon(),
    ])
      expect(use).toThrow(AssertionError);
    expect(db.get("b")).toBe("in memory");
    db.workers.settle();
    db.put("a", "1");
    expect(db.all()).toBe("a=1");
  });

  test("ends with its store, at any step", () => {
    const from = source();
    const chunks = chunksOf(from, 500);
    for (let steps = 0; ; steps++) {
      const db = target({ tableBytesMax: 300 });
      const { install, told } = begin(db, chunks);
      const isFinished = steps % 2 === 1;
      if (isFinished) install.finish(later);
      let isBusy = true;
      for (let step = 0; step < steps && isBusy; step++) isBusy = db.workers.step();
      db.store.close();
      expect(db.tables.openCount).toBe(0);
      expect(failureOf(() => install.add(chunks[0]!)).code).toBe("CLOSED");
      install.abandon();
      db.store = db.open();
      // MANIFEST may have been replaced already, and nobody told of it.
      if (told.said.length > 0) expect(db.store.applied).toEqual(later.applied);
      if (db.store.applied.index === 1) expect(db.all()).toBe("a=old key0005=old z=old");
      else expect([db.all(), db.store.applied]).toEqual([from.all(), later.applied]);
      expect(db.runFiles.length).toBe(manifestOf(db).runs.flatMap(({ parts }) => parts).length);
      if (!isBusy && isFinished) break;
    }
  });

  test("may be finished while the store waits for a merge of everything, which is then one of the new state", () => {
    const { db } = unmergedStore(6, 300);
    const from = source();
    const chunks = chunksOf(from);
    let missing = chunks.length;
    const said: string[] = [];
    const install = db.store.beginInstall({
      consumed: () => {
        if (--missing === 0) install.finish(later);
      },
      installed: () => said.push("installed"),
      refused: () => said.push("refused"),
    });
    for (const chunk of chunks) install.add(chunk);
    db.store.compactRange();
    expect(said).toEqual(["installed"]);
    expect([db.all(), manifestOf(db).runs.length]).toEqual([from.all(), 1]);
    const { install: other, told } = begin(db, []);
    other.finish({ sequence: 20_000, applied: { index: 60, term: 3 } });
    db.store.compactRange();
    db.workers.settle();
    expect([told.said, db.all()]).toEqual([["installed"], ""]);
  });

  test("of a store that flushes by itself leaves nothing of what that store has in memory", () => {
    const db = new TextStore({ autoFlush: true });
    db.put("a", "1");
    const from = source();
    const { install, told } = begin(db, chunksOf(from));
    install.finish(later);
    db.workers.settle();
    expect([told.said, db.all()]).toEqual([["installed"], from.all()]);
    db.put("b", "2");
    db.reopen();
    expect(db.get("b")).toBe("2");
    const { install: unfinished } = begin(db, []);
    unfinished.finish({ sequence: 20_000, applied: { index: 60, term: 3 } });
    db.reopen();
    expect(db.get("b")).toBe("2");
  });

  test("makes larger files of a larger store", () => {
    const from = new TextStore({ memtableBytesMax: 0 });
    for (let place = 0; place < 9000; place++) from.put(keyOf(place), "x".repeat(100));
    from.flushOnly();
    const db = target({ tableBytesMax: 4000 });
    const { install } = begin(db, chunksOf(from, 10_000));
    install.finish(later);
    db.workers.settle();
    expect(db.all()).toBe(from.all());
    // A megabyte is 250 of the smallest ones.
    expect(db.runFiles.length).toBeWithin(60, 150);
  });
});

describe("a step of the disk that fails in an install", () => {
  test("is told once, as of any other work, and leaves the old state to be read, and one of the two in the folder", () => {
    const from = source();
    const chunks = chunksOf(from, 500);
    const full = new KvraftError("NO_SPACE", "Cannot write: the disk is full");
    const failed = new Set<string>();
    for (let step = 1; ; step++) {
      const db = target({ tableBytesMax: 300 });
      const before = db.all();
      let [steps, what] = [0, ""];
      db.disk.beforeStep = (action, path) => {
        if (++steps !== step) return;
        what = `${action} ${path.replace(/\d+/, "N")}`;
        throw full;
      };
      const { install, told } = begin(db, chunks);
      install.finish(later);
      db.workers.settle();
      db.disk.beforeStep = undefined;
      if (what === "") break;
      failed.add(what);
      if (what.startsWith("remove")) expect([told.said, db.lines]).toEqual([["installed"], [full.message]]);
      else {
        expect([told.said, db.failures.map(({ message }) => message)], what).toEqual([[], [full.message]]);
        expect(db.all(), what).toBe(before);
        for (const use of [() => db.seal(), () => db.store.beginInstall(told), () => db.store.flushSealed()])
          expect(failureOf(use).message, what).toBe(full.message);
      }
      db.reopen();
      expect(["a=old key0005=old z=old", from.all()], what).toContain(db.all());
      expect(db.store.logStart, what).toEqual(
        db.store.applied.index === 1 ? { index: 0, term: 0 } : later.applied,
      );
    }
    expect([...failed].sort()).toEqual([
      `create ${folder}/MANIFEST.new`,
      `create ${folder}/N.run`,
      `remove ${folder}/N.run`,
      `rename ${folder}/MANIFEST.new`,
      `sync ${folder}/MANIFEST.new`,
      `sync ${folder}/N.run`,
      `sync the folder ${folder}`,
      `write ${folder}/MANIFEST.new`,
      `write ${folder}/N.run`,
    ]);
  });

  test("is thrown by the next call, and an install may be given up after it", () => {
    const db = target({ tableBytesMax: 300 });
    const { install } = begin(db, chunksOf(source(), 500));
    db.disk.beforeStep = () => {
      throw new KvraftError("NO_SPACE", "full");
    };
    db.workers.settle();
    expect(failureOf(() => install.add(new Uint8Array(0))).message).toBe("full");
    expect(failureOf(() => install.finish(later)).message).toBe("full");
    install.abandon();
    db.store.close();
    expect(db.tables.openCount).toBe(0);
  });
});
