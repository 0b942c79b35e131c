/** A log begins anew behind a snapshot: nothing of the old one is left, but for the term and the vote. */
import { describe, expect, test } from "bun:test";
import { KvraftError } from "../../src/lib/error.ts";
import type { EntryId } from "../../src/raft/types.ts";
import type { Persister } from "../../src/raftlog/persister.ts";
import { CrashDisk } from "./crash-disk.ts";
import {
  contentOf,
  entries,
  entry,
  errorOf,
  folder,
  openLog,
  peer,
  print,
  save,
  state,
} from "./log-fixture.ts";

/** Entries 1 to 60 of term 1 in several segments; term 5, a vote, and a commit of 30. */
function oldLog(disk: CrashDisk): Persister {
  const { log } = openLog(disk);
  for (let index = 1; index <= 60; index += 20)
    save(disk, log, { hardState: state(5, 30, peer), entries: entries(index, index + 20, 1, 200) });
  expect(disk.list(folder).length).toBeGreaterThan(1);
  return log;
}

/** What a log shows, whichever way it was made to begin anew. */
function expectAnew(log: Persister, { index, term }: EntryId, commit = index): void {
  const hardState = state(5, commit, peer);
  expect(log.readRaftState()).toEqual({ hardState, firstIndex: index + 1, lastIndex: index });
  expect([log.term(index - 1), log.term(index), log.term(index + 1)]).toEqual([undefined, term, undefined]);
  expect(log.slice(index + 1, index + 100, 1e9)).toEqual([]);
  expect(log.configurations).toEqual([]);
}

/** Closes and opens again, and demands that nothing changed. */
function reopened(disk: CrashDisk, log: Persister): Persister {
  const shown = (one: Persister) => ({
    ...contentOf(one),
    ...one.readRaftState(),
    configurations: [...one.configurations],
  });
  const before = shown(log);
  log.close();
  const again = openLog(disk);
  expect(shown(again.log)).toEqual(before);
  expect(again.lines).toEqual([]);
  return again.log;
}

const ways = {
  "by a save": (disk: CrashDisk, log: Persister, start: EntryId) => save(disk, log, { start }),
  "while it is opened": (_: CrashDisk, log: Persister, start: EntryId) => log.restartSync(start),
};

for (const [way, restart] of Object.entries(ways))
  describe(`a log that begins anew ${way}`, () => {
    test("behind its end, within it, and again at the same place", () => {
      for (const index of [1000, 60, 45, 30]) {
        const disk = new CrashDisk();
        let log = oldLog(disk);
        for (let round = 0; round < 3; round++) {
          restart(disk, log, { term: 4, index });
          expectAnew(log, { term: 4, index });
          expect(disk.list(folder).length).toBe(1);
          log = reopened(disk, log);
          expectAnew(log, { term: 4, index });
        }
      }
    });

    test("goes on as any log: appends, replacements, more segments, and drops of its front", () => {
      const disk = new CrashDisk();
      let log = oldLog(disk);
      restart(disk, log, { term: 4, index: 500 });
      save(disk, log, { entries: entries(501, 540, 6, 300) });
      expect(log.slice(501, 600, 1e9).map(print)).toEqual(entries(501, 540, 6, 300).map(print));
      log = reopened(disk, log);
      save(disk, log, { hardState: state(7, 500), entries: entries(501, 503, 7, 300) });
      log = reopened(disk, log);
      expect(log.term(500)).toBe(4);
      save(disk, log, { entries: entries(503, 600, 7, 300) });
      while (log.compact({ upTo: 599, tailEntries: 0, tailBytes: 0 }));
      expect(log.firstIndex).toBeGreaterThan(503);
      log = reopened(disk, log);
      expect(log.readRaftState().hardState).toEqual(state(7, 500));
    });

    test("from nothing", () => {
      const disk = new CrashDisk();
      const { log } = openLog(disk);
      restart(disk, log, { term: 3, index: 7 });
      expect(log.readRaftState()).toEqual({ hardState: state(0, 7), firstIndex: 8, lastIndex: 7 });
      expect(reopened(disk, log).term(7)).toBe(3);
    });

    test("keeps nothing of what was in memory, or open", () => {
      const disk = new CrashDisk();
      const log = oldLog(disk);
      log.slice(1, 61, 1e9);
      restart(disk, log, { term: 9, index: 50 });
      save(disk, log, { entries: entries(51, 62, 9, 300) });
      expect(contentOf(log).entries).toEqual(entries(51, 62, 9, 300).map(print));
      expect(contentOf(log).terms).toEqual([...Array(12).fill(9), undefined]);
    });

    test("never before what was decided", () => {
      const disk = new CrashDisk();
      const log = oldLog(disk);
      expect(() => restart(disk, log, { term: 1, index: 29 })).toThrow("what was decided");
      expect(log.lastIndex).toBe(60);
    });

    test("is dead after a failure, and the next start has the old log or the new one", () => {
      for (const action of ["create", "write", "rename", "syncFolder", "remove"]) {
        const disk = new CrashDisk();
        const log = oldLog(disk);
        const before = contentOf(log);
        const failure = new KvraftError("IO_ERROR", `Cannot ${action}`);
        disk.failure = (now) => (now === action ? failure : undefined);
        expect(errorOf(() => restart(disk, log, { term: 4, index: 500 }))?.message).toBe(failure.message);
        disk.failure = undefined;
        expect(errorOf(() => save(disk, log, {}))?.message).toBe(failure.message);
        log.close();
        const again = openLog(disk).log;
        if (again.lastIndex === 60) expect(contentOf(again)).toEqual(before);
        else expectAnew(again, { term: 4, index: 500 });
      }
    });
  });

describe("a save with a start", () => {
  test("shows it when it is durable, and then before done", () => {
    const disk = new CrashDisk();
    const log = oldLog(disk);
    const before = contentOf(log);
    let seen: number | undefined;
    log.saveRaftState({ hardState: undefined, entries: [], start: { term: 4, index: 500 } }, () => {
      seen = log.firstIndex;
    });
    expect(contentOf(log)).toEqual(before);
    log.compact({ upTo: 30, tailEntries: 0, tailBytes: 0 });
    expect(seen).toBeUndefined();
    disk.run();
    expect(seen).toBe(501);
    expectAnew(reopened(disk, log), { term: 4, index: 500 });
  });

  test("may bring a hard state, and entries in several groups and segments", () => {
    const disk = new CrashDisk();
    const log = oldLog(disk);
    const list = [{ ...entry(71, 6), kind: "config" as const }, ...entries(72, 150, 6, 300)];
    save(disk, log, { hardState: state(6, 90), entries: list, start: { term: 4, index: 70 } });
    expect(disk.list(folder).length).toBeGreaterThan(2);
    const again = reopened(disk, log);
    expect(contentOf(again).entries).toEqual(list.map(print));
    expect(again.readRaftState()).toEqual({ hardState: state(6, 90), firstIndex: 71, lastIndex: 149 });
    expect(again.configurations).toEqual([71]);
  });

  test("has a commit of at least its start", () => {
    const disk = new CrashDisk();
    const log = oldLog(disk);
    save(disk, log, { hardState: state(8, 2), start: { term: 4, index: 70 } });
    expect(reopened(disk, log).readRaftState().hardState).toEqual(state(8, 70));
  });

  test("has entries that follow it, and no others", () => {
    const disk = new CrashDisk();
    const log = oldLog(disk);
    const start = { term: 4, index: 500 };
    expect(() => save(disk, log, { start, entries: entries(61, 62, 5) })).toThrow("follow the start");
    expect(() => save(disk, log, { start, entries: entries(502, 503, 5) })).toThrow("follow the start");
    save(disk, log, { start, entries: entries(501, 502, 5) });
  });
});
