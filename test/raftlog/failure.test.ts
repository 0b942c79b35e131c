import { expect, test } from "bun:test";
import { Prng } from "../../src/env/prng.ts";
import { KvraftError } from "../../src/lib/error.ts";
import type { Persister } from "../../src/raftlog/persister.ts";
import { CrashDisk } from "./crash-disk.ts";
import {
  contentOf,
  entries,
  errorOf,
  folder,
  openLog,
  print,
  save,
  seedOfRun,
  smallOptions,
  state,
} from "./log-fixture.ts";

const noSpace = new KvraftError("NO_SPACE", "Cannot write: the disk is full");

/** What the next save reports, without the disk being asked. */
function reportedError(log: Persister): Error | undefined {
  let reported: Error | undefined;
  log.saveRaftState({ hardState: undefined, entries: [] }, (error) => {
    reported = error;
  });
  return reported;
}

test("a write that fails kills the log: every later save reports the same error", () => {
  const disk = new CrashDisk();
  const { log } = openLog(disk);
  save(disk, log, { entries: entries(1, 4, 1) });
  let outcome: Error | undefined;
  log.saveRaftState({ hardState: state(2), entries: entries(4, 6, 2) }, (error) => {
    outcome = error;
  });
  disk.failOne(noSpace);
  expect(outcome).toBe(noSpace);
  expect(log.lastIndex).toBe(3);
  expect(log.readRaftState().hardState.term).toBe(0);
  const operations = disk.operations;
  expect(reportedError(log)).toBe(noSpace);
  expect(reportedError(log)).toBe(noSpace);
  disk.run();
  expect(disk.operations).toBe(operations);
  log.close();
  const again = openLog(disk.crash("lost", new Prng(seedOfRun))).log;
  expect(contentOf(again).entries).toEqual(entries(1, 4, 1).map(print));
});

test("a write of zeros that fails kills the log too, also while a group is under way", () => {
  const disk = new CrashDisk();
  const { log } = openLog(disk);
  let outcome: Error | undefined;
  log.saveRaftState({ hardState: undefined, entries: entries(1, 4, 1) }, (error) => {
    outcome = error;
  });
  expect(disk.pendingCount).toBe(2);
  disk.failLast(noSpace);
  expect(outcome).toBe(noSpace);
  disk.run();
  expect(log.lastIndex).toBe(0);
  expect(reportedError(log)).toBe(noSpace);
});

test("each step of a rotation may fail; the log dies, and the next start has all that was acknowledged", () => {
  for (const action of ["create", "write", "rename", "syncFolder"]) {
    const disk = new CrashDisk();
    const { log } = openLog(disk, { ...smallOptions, aheadBytes: 0 });
    save(disk, log, { hardState: state(1), entries: entries(1, 5, 1, 800) });
    const filesBefore = disk.list(folder).length;
    disk.failure = (now) => (now === action ? noSpace : undefined);
    const error = errorOf(() => save(disk, log, { entries: entries(5, 7, 1, 600) }));
    expect(error?.code).toBe("NO_SPACE");
    expect(reportedError(log)).toBe(noSpace);
    log.close();
    disk.failure = undefined;
    const { log: again } = openLog(disk.crash("torn", new Prng(seedOfRun)));
    expect(contentOf(again).entries.slice(0, 4)).toEqual(entries(1, 5, 1, 800).map(print));
    expect(filesBefore).toBeGreaterThan(0);
  }
});

test("a start without room fails, and works again when there is room", () => {
  const disk = new CrashDisk();
  const { log } = openLog(disk);
  save(disk, log, { hardState: state(3), entries: entries(1, 9, 3) });
  const before = { ...contentOf(log), ...log.readRaftState() };
  log.close();
  for (const action of ["create", "write", "sync", "rename", "syncFolder"]) {
    disk.failure = (now) => (now === action ? noSpace : undefined);
    expect(errorOf(() => openLog(disk))?.code).toBe("NO_SPACE");
    disk.failure = undefined;
  }
  const again = openLog(disk).log;
  expect({ ...contentOf(again), ...again.readRaftState() }).toEqual(before);
  expect(disk.list(folder).filter((name) => name.endsWith(".tmp"))).toEqual([]);
});

test("a save that is under way at close is abandoned: nothing is called, nothing is written afterwards", () => {
  const disk = new CrashDisk();
  const { log } = openLog(disk);
  let isCalled = false;
  const list = entries(1, 20, 1, 800);
  log.saveRaftState({ hardState: undefined, entries: list }, () => {
    isCalled = true;
  });
  log.close();
  disk.run();
  expect(isCalled).toBe(false);
  const found = contentOf(openLog(disk).log).entries;
  expect(found).toEqual(list.slice(0, found.length).map(print));
  expect(() => reportedError(log)).toThrow("after it was closed");
});
