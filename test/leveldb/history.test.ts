/** Reads of the past: what was there at a sequence number, for as long as it is kept. */
import { describe, expect, test } from "bun:test";
import { History } from "../../src/leveldb/history.ts";
import type { KeyRecord, ReadOptions } from "../../src/leveldb/level-db.ts";
import { fromUtf8, toUtf8 } from "../../src/lib/bytes.ts";
import { eachSeed } from "./seed.ts";
import { failureOf, TextStore, text } from "./text-store.ts";

function read(db: TextStore, key: string, options: ReadOptions): string | undefined {
  return text(db.store.get(toUtf8(key), options));
}

function codeAt(db: TextStore, sequence: number): string {
  const codes = [
    () => db.store.get(toUtf8("k"), { sequence }),
    () => db.store.getRecord(toUtf8("k"), { sequence }),
    () => db.store.newIterator({ sequence }),
  ].map((use) => failureOf(use).code);
  expect(new Set(codes).size).toBe(1);
  return codes[0]!;
}

describe("historySequences", () => {
  test("so many sequence numbers back a read sees what was there, in memory, in runs and after a reopen", () => {
    const db = new TextStore({ historySequences: 3 });
    const check = () => {
      const at = (sequence: number) => read(db, "k", { sequence });
      expect([at(7), at(8), at(9), at(10)]).toEqual(["7", undefined, "9", "10"]);
      expect(db.all(db.store.newIterator({ sequence: 7 }))).toBe("k=7");
      expect(db.all(db.store.newIterator({ sequence: 8 }))).toBe("");
      expect(db.store.getRecord(toUtf8("k"), { sequence: 7 })).toMatchObject({
        created: 1,
        modified: 7,
        count: 7,
      });
      expect(db.store.getRecord(toUtf8("k"), { sequence: 9 })).toMatchObject({
        created: 9,
        modified: 9,
        count: 1,
      });
      expect(codeAt(db, 6)).toBe("COMPACTED");
      expect(codeAt(db, 11)).toBe("INVALID_ARGUMENT");
    };
    for (let sequence = 1; sequence <= 10; sequence++) {
      if (sequence === 8) db.delete("k");
      else db.put("k", String(sequence), sequence);
      if (sequence % 4 === 0) db.flushOnly();
    }
    check();
    db.flush();
    check();
    db.store.compactRange();
    check();
    db.reopen();
    check();
  });

  test("without them only the present can be read by its number, and a snapshot's", () => {
    const db = new TextStore();
    db.put("k", "1");
    const snapshot = db.store.getSnapshot();
    db.put("k", "2");
    expect(read(db, "k", { sequence: 2 })).toBe("2");
    expect(read(db, "k", { snapshot, sequence: 1 })).toBe("1");
    expect(codeAt(db, 1)).toBe("COMPACTED");
    expect(failureOf(() => read(db, "k", { snapshot, sequence: 2 })).code).toBe("INVALID_ARGUMENT");
    expect(failureOf(() => read(db, "k", { sequence: 1 })).message).toBe(
      "Cannot read at sequence number 1: what was there before 2 is not kept any more",
    );
    expect(failureOf(() => read(db, "k", { sequence: 3 })).message).toBe(
      "Cannot read at sequence number 3: the last one is 2",
    );
  });

  test("what was not kept once does not come back with a larger number of them", () => {
    const db = new TextStore({ historySequences: 2 });
    for (let sequence = 1; sequence <= 10; sequence++) db.put("k", String(sequence), sequence);
    db.flush();
    db.store.close();
    db.store = db.open({ historySequences: 100 });
    expect(codeAt(db, 7)).toBe("COMPACTED");
    for (let sequence = 11; sequence <= 20; sequence++) db.put("k", String(sequence), sequence);
    db.flush();
    expect(codeAt(db, 7)).toBe("COMPACTED");
    for (let sequence = 8; sequence <= 20; sequence++)
      expect(read(db, "k", { sequence })).toBe(String(sequence));
  });

  test("an iterator that has begun sees its past to the end, also when that is not kept any more", () => {
    const db = new TextStore({ historySequences: 5 });
    for (const key of ["a", "b", "c"]) db.put(key, "old");
    db.flush();
    const iterator = db.store.newIterator({ sequence: 2 });
    for (let round = 0; round < 20; round++) {
      for (const key of ["a", "b", "c"]) db.put(key, `${round}`);
      db.flush();
    }
    expect(codeAt(db, 2)).toBe("COMPACTED");
    expect(db.all(iterator)).toBe("a=old b=old");
  });

  test("versions that nobody may read any more give their space back", () => {
    const db = new TextStore({ historySequences: 10 });
    for (let round = 0; round < 20; round++) {
      for (let count = 0; count < 10; count++) db.put("k", "x".repeat(1000));
      db.flush();
    }
    db.store.compactRange();
    expect(Number(db.store.getProperty("kvraft.file-bytes"))).toBeLessThan(14_000);
    expect(read(db, "k", { sequence: 190 })).toBe("x".repeat(1000));
  });

  test("every state that is kept is the one that was, through flushes, merges and reopens", () => {
    eachSeed(6, (prng, seed) => {
      const historySequences = prng.int(1, 40);
      const db = new TextStore({
        historySequences,
        tableBytesMax: prng.pick([300, 3000]),
        runsMax: prng.int(1, 5),
      });
      /** What was there after the last write of each sequence number. */
      const states: Map<string, KeyRecord>[] = [new Map()];
      for (let round = 0; round < 120; round++) {
        const sequence = db.store.sequence + prng.pick([0, 1, 1, 1, 4]);
        const state = new Map(states[db.store.sequence]!);
        while (states.length <= sequence) states.push(states.at(-1)!);
        for (let count = prng.int(1, 4); count > 0; count--)
          change(state, prng.pick([..."abcdefgh"]), sequence);
        states[sequence] = state;
        db.workers.step();
        if (prng.chance(1, 4) && db.store.canSeal) db.seal();
        if (prng.chance(1, 20)) {
          db.flushOnly();
          db.reopen();
        }
        const present = db.store.sequence;
        for (const asked of [present, Math.max(0, present - historySequences), prng.int(0, present)]) {
          const where = `SEED=${seed} round ${round}, sequence ${asked} of ${present}`;
          if (asked < present - historySequences) {
            expect(codeAt(db, asked), where).toBe("COMPACTED");
            continue;
          }
          const expected = [...states[asked]!].sort(([a], [b]) => (a < b ? -1 : 1));
          const line = expected.map(([key, { value }]) => `${key}=${fromUtf8(value)}`).join(" ");
          expect(db.all(db.store.newIterator({ sequence: asked })), where).toBe(line);
          for (const key of "abcdefgh") {
            const record = states[asked]!.get(key);
            expect(db.store.getRecord(toUtf8(key), { sequence: asked }), where).toEqual(record);
            expect(read(db, key, { sequence: asked }), where).toBe(text(record?.value));
          }
        }
      }

      function change(state: Map<string, KeyRecord>, key: string, sequence: number): void {
        if (prng.chance(1, 4)) {
          db.store.delete(toUtf8(key), sequence);
          state.delete(key);
          return;
        }
        const value = toUtf8(String(prng.int(0, 9999)));
        const older = state.get(key);
        const count = (older?.count ?? 0) + (older?.modified === sequence ? 0 : 1);
        db.store.put(toUtf8(key), value, sequence);
        state.set(key, { value, created: older?.created ?? sequence, modified: sequence, count });
      }
    });
  });
});

describe("historyMs", () => {
  test("a store that is told the time keeps so much of it, and gives back what is older", () => {
    const db = new TextStore({ historyMs: 1000 });
    for (let sequence = 1; sequence <= 100; sequence++) {
      db.put("k", String(sequence), sequence);
      db.store.advanceTime(sequence * 100);
      if (sequence % 10 === 0) db.flush();
    }
    for (let sequence = 90; sequence <= 100; sequence++)
      expect(read(db, "k", { sequence })).toBe(String(sequence));
    expect(codeAt(db, 85)).toBe("COMPACTED");
    db.reopen();
    for (let sequence = 90; sequence <= 100; sequence++)
      expect(read(db, "k", { sequence })).toBe(String(sequence));
    expect(codeAt(db, 85)).toBe("COMPACTED");
  });

  test("what is kept is never less than was asked for, and hardly more, whenever the time is told", () => {
    eachSeed(30, (prng, seed) => {
      const ms = prng.int(1, 10_000);
      const history = new History(0, ms);
      const writes: { timeMs: number; sequence: number }[] = [];
      let [timeMs, sequence, floor] = [prng.int(1, 1000), 0, 0];
      for (let step = 0; step < 500; step++) {
        timeMs += prng.int(0, Math.ceil(ms / 30));
        sequence += prng.int(0, 3);
        writes.push({ timeMs, sequence });
        history.advance(timeMs, sequence);
        const now = history.floorAt(sequence);
        expect(now, `SEED=${seed} step ${step}`).toBeGreaterThanOrEqual(floor);
        floor = now;
        // What was there `ms` ago, and a little longer ago.
        const wanted = writes.findLast((write) => write.timeMs <= timeMs - ms)?.sequence ?? 0;
        const slack = writes.findLast((write) => write.timeMs <= timeMs - ms - ms / 15)?.sequence ?? 0;
        expect(floor, `SEED=${seed} step ${step}`).toBeLessThanOrEqual(wanted);
        expect(floor, `SEED=${seed} step ${step}`).toBeGreaterThanOrEqual(slack);
      }
    });
  });

  test("with both, whichever keeps more counts; time that goes back, or stands still, changes nothing", () => {
    const both = new History(5, 1000);
    for (let second = 1; second <= 10; second++) both.advance(second * 1000, second * 10);
    expect([both.floorAt(100), both.floorAt(92)]).toEqual([90, 87]);
    both.advance(500, 101);
    expect(both.floorAt(101)).toBe(90);
    const few = new History(50, 1000);
    for (let second = 1; second <= 10; second++) few.advance(second * 1000, second * 10);
    expect(few.floorAt(100)).toBe(50);
    expect(new History(0, 0).floorAt(7)).toBe(7);
    expect(new History(10, 0).floorAt(7)).toBe(0);
  });
});
