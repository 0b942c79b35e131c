/** Merges in steps: what readers and the next open see before, between and after them. */
import { describe, expect, test } from "bun:test";
import { toUtf8 } from "../../src/lib/bytes.ts";
import { eachSeed } from "./seed.ts";
import { at, TextStore } from "./text-store.ts";
import { keyOf, manifestOf, TwinStore, unmergedStore } from "./twin-store.ts";

/** Works until MANIFEST says that a merge has got so far. */
function workInto(db: TextStore, parts: number): void {
  const done = () => {
    const { merges, runs } = manifestOf(db);
    return merges.some(({ output }) => runs.find(({ id }) => id === output)!.parts.length >= parts);
  };
  while (!done()) expect(db.workers.step()).toBe(true);
}

describe("a merge", () => {
  test("goes in steps of a file each, shows the same at every slice, also to older views, and takes back what it read", () => {
    const twin = unmergedStore(5, 900);
    const { db } = twin;
    const before = twin.all();
    const snapshot = db.store.getSnapshot();
    const iterator = db.store.newIterator();
    iterator.seek(toUtf8(keyOf(400)));
    const stood = at(iterator);
    let [steps, slices, known] = [0, 0, manifestOf(db)];
    while (db.workers.step()) {
      slices++;
      const manifest = manifestOf(db);
      if (manifest.nextNumber !== known.nextNumber) steps++;
      known = manifest;
      twin.check(`slice ${slices}`);
      expect(db.all(db.store.newIterator({ snapshot }))).toBe(before);
      expect(db.get(keyOf(8), snapshot)).toBe(twin.values.get(keyOf(8)));
      expect(at(iterator)).toBe(stood);
    }
    expect(steps).toBeGreaterThan(3);
    expect(slices).toBeGreaterThan(2 * steps);
    const { runs, merges } = manifestOf(db);
    expect([runs.length, merges.length]).toEqual([1, 0]);
    expect(runs[0]!.parts.length).toBeGreaterThan(3);
    expect(runs[0]!.parts.reduce((sum, { file }) => sum + file.rows, 0)).toBe(twin.values.size);
    expect(db.lines.at(-1)).toBe(`Merged 5 runs into one of ${twin.values.size} rows`);
    const seen: string[] = [];
    for (; iterator.valid(); iterator.prev()) seen.unshift(at(iterator));
    expect(before.startsWith(seen.join(" "))).toBe(true);
    expect(db.runFiles.length).toBeGreaterThan(runs[0]!.parts.length);
    db.store.releaseSnapshot(snapshot);
    iterator.close();
    db.workers.settle();
    expect(db.runFiles.length).toBe(runs[0]!.parts.length);
    expect(db.tables.openCount).toBe(runs[0]!.parts.length);
  });

  test("keeps each file that a view still reads, and removes every other one at once", () => {
    const twin = unmergedStore(5, 900);
    const { db } = twin;
    workInto(db, 2);
    const expected = twin.all();
    const iterator = db.store.newIterator();
    const inView = new Set(db.runFiles);
    db.workers.settle();
    const named = () => manifestOf(db).runs.flatMap(({ parts }) => parts.map(({ file }) => file.number));
    for (const name of db.runFiles)
      expect(inView.has(name) || named().includes(Number.parseInt(name, 10))).toBe(true);
    expect(db.all(iterator)).toBe(expected);
    db.workers.settle();
    expect(db.runFiles.map((name) => Number.parseInt(name, 10))).toEqual(named().sort((a, b) => a - b));
  });

  test("goes on after a reopen from where MANIFEST says, and shows the same whenever that is", () => {
    const twin = unmergedStore(5, 900);
    const { db } = twin;
    let [reopens, parts] = [0, 0];
    const settled = () => manifestOf(db).merges.length === 0 && manifestOf(db).runs.length === 1;
    for (let slice = 1; !settled(); slice++) {
      db.workers.step();
      const { merges, runs } = manifestOf(db);
      const output = runs.find(({ id }) => id === merges[0]?.output);
      if (output === undefined || output.parts.length === parts) continue;
      // What was done stays done.
      expect(output.parts.length).toBe(parts + 1);
      parts++;
      db.workers.step();
      db.reopen();
      // A worker starts when there is something to tell it.
      db.store.rest(true);
      reopens++;
      twin.check(`slice ${slice}`);
    }
    expect(reopens).toBeGreaterThan(2);
    twin.check();
    db.reopen();
    twin.check();
  });

  test("waits for a flush in the middle of a step, and what is flushed meanwhile stays newer than what is merged", () => {
    const twin = unmergedStore(5, 900);
    const { db } = twin;
    workInto(db, 1);
    // Into the middle of the next step.
    db.workers.step();
    const before = manifestOf(db);
    for (const place of [0, 1, 400, 899]) twin.put(keyOf(place), "while merging");
    twin.delete(keyOf(2));
    twin.delete(keyOf(898));
    db.seal();
    let slices = 0;
    while (db.store.isSealed) {
      db.workers.step();
      slices++;
    }
    expect(slices).toBe(1);
    const after = manifestOf(db);
    expect(after.runs.slice(1)).toEqual([...before.runs]);
    expect(after.merges).toEqual(before.merges);
    twin.check("flushed");
    while (db.workers.step()) twin.check();
    db.reopen();
    twin.check("reopened");
  });

  test("that is small need not wait for the end of a large one", () => {
    const twin = unmergedStore(5, 2000);
    const { db } = twin;
    workInto(db, 1);
    for (let run = 0; run < 8; run++) {
      for (let place = 0; place < 3; place++) twin.put(keyOf(place), `small ${run}`);
      db.flushOnly();
    }
    const [large] = manifestOf(db).merges;
    while (!db.lines.some((line) => line.startsWith("Merged 8 runs"))) db.workers.step();
    expect(manifestOf(db).merges).toEqual([large!]);
    twin.check();
    db.workers.settle();
    expect(db.lines.filter((line) => line.startsWith("Merged"))[1]).toStartWith("Merged 5 runs");
    db.reopen();
    twin.check();
  });

  test("never brings back what was deleted, whatever is flushed, merged, read and reopened in between", () => {
    eachSeed(6, (prng, seed) => {
      const twin = new TwinStore({ tableBytesMax: prng.pick([500, 4000, 30_000]), runsMax: prng.int(1, 6) });
      const { db } = twin;
      for (let round = 0; round < 40; round++) {
        const first = prng.int(0, 250);
        const isDeleting = prng.chance(2, 5);
        for (let place = first; place < first + prng.int(1, 60); place++) {
          if (isDeleting) twin.delete(keyOf(place));
          else twin.put(keyOf(place), `${round}`);
        }
        if (db.store.canSeal) db.seal();
        for (let slices = prng.int(0, 4); slices > 0; slices--) db.workers.step();
        if (prng.chance(1, 10)) {
          db.store.flushSealed();
          db.flushOnly();
          db.reopen();
        }
        twin.check(`SEED=${seed} round ${round}`);
      }
      db.flush();
      db.store.compactRange();
      twin.check(`SEED=${seed} compacted`);
    });
  });
});

describe("compactRange", () => {
  test("leaves one run without garbage, from whatever is there, a merge under way and sealed memtables included", () => {
    for (const slices of [0, 1, 3, 6, 20]) {
      const twin = unmergedStore(5, 900);
      const { db } = twin;
      for (let slice = 0; slice < slices; slice++) db.workers.step();
      for (let place = 0; place < 900; place += 3) twin.delete(keyOf(place));
      db.seal();
      db.store.compactRange();
      const { runs, merges } = manifestOf(db);
      expect([runs.length, merges.length]).toEqual([1, 0]);
      expect(runs[0]!.parts.reduce((sum, { file }) => sum + file.rows, 0)).toBe(twin.values.size);
      twin.check(`${slices} slices`);
    }
  });

  test("of nothing is nothing, and so is that of keys which were all deleted", () => {
    const db = new TextStore({ runsMax: 100 });
    db.store.compactRange();
    expect(db.runFiles).toEqual([]);
    db.put("a", "1");
    db.flushOnly();
    db.delete("a");
    db.flushOnly();
    db.store.compactRange();
    db.workers.settle();
    expect(db.runFiles).toEqual([]);
    expect(db.all()).toBe("");
  });

  test("includes what is in memory when the store flushes by itself, and only what is stored otherwise", () => {
    for (const autoFlush of [false, true]) {
      const db = new TextStore({ autoFlush });
      db.put("a", "1");
      db.store.compactRange();
      expect(db.store.getProperty("kvraft.runs")).toBe(autoFlush ? "1" : "0");
      expect(db.get("a")).toBe("1");
    }
  });
});
