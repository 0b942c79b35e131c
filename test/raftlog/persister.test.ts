import { describe, expect, test } from "bun:test";
import { groupHeaderBytes } from "../../src/raftlog/group.ts";
import type { LogOptions } from "../../src/raftlog/options.ts";
import type { Persister } from "../../src/raftlog/persister.ts";
import { CrashDisk } from "./crash-disk.ts";
import {
  contentOf,
  entries,
  entry,
  folder,
  openLog,
  peer,
  print,
  randomLike,
  save,
  smallOptions,
  state,
} from "./log-fixture.ts";

/** Closes and opens again, and demands that nothing changed. */
function reopened(disk: CrashDisk, log: Persister, options: Partial<LogOptions> = smallOptions): Persister {
  const before = { ...contentOf(log), ...log.readRaftState() };
  log.close();
  const again = openLog(disk, options);
  expect({ ...contentOf(again.log), ...again.log.readRaftState() }).toEqual(before);
  expect(again.lines).toEqual([]);
  return again.log;
}

test("a missing folder becomes an empty log", () => {
  const disk = new CrashDisk();
  const { log } = openLog(disk);
  expect(log.readRaftState()).toEqual({ hardState: state(0), firstIndex: 1, lastIndex: 0 });
  expect(log.term(0)).toBe(0);
  expect(log.term(1)).toBeUndefined();
  expect(log.slice(1, 100, 1000)).toEqual([]);
  const again = reopened(disk, reopened(disk, log));
  expect(disk.list(folder).length).toBe(1);
  save(disk, again, { entries: entries(1, 3, 1) });
  reopened(disk, again);
});

describe("what was saved is read back", () => {
  test("with empty, binary, and 8 MiB data, of each kind", () => {
    const disk = new CrashDisk();
    const options = { segmentBytesMax: 20 * 1024 * 1024, tailBytesMax: 1000 };
    const { log } = openLog(disk, options);
    const list = [
      entry(1, 1, ""),
      { ...entry(2, 1, new Uint8Array([0, 0xff, 0xd7, 0x6b, 0x67, 0x72])), kind: "noop" as const },
      entry(3, 2, randomLike(3, 8 * 1024 * 1024)),
      { ...entry(4, 2, randomLike(4, 70_000)), kind: "config" as const },
      entry(5, 2, randomLike(5, 8 * 1024 * 1024)),
    ];
    save(disk, log, { hardState: state(2, 1, peer), entries: list.slice(0, 3) });
    save(disk, log, { entries: list.slice(3) });
    expect(log.slice(1, 6, 1e9).map(print)).toEqual(list.map(print));
    const again = reopened(disk, log, options);
    expect(again.slice(1, 6, 1e9).map(print)).toEqual(list.map(print));
    expect(again.readRaftState().hardState).toEqual(state(2, 1, peer));
  });

  test("with a hard state alone, with nothing at all, and with a vote taken back", () => {
    const disk = new CrashDisk();
    let { log } = openLog(disk);
    save(disk, log, { hardState: state(7, 0, peer) });
    log = reopened(disk, log);
    save(disk, log, {});
    log = reopened(disk, log);
    expect(log.readRaftState().hardState).toEqual(state(7, 0, peer));
    save(disk, log, { hardState: state(8) });
    expect(reopened(disk, log).readRaftState().hardState).toEqual(state(8));
  });

  test("over many segments, in saves of several groups", () => {
    const disk = new CrashDisk();
    let { log } = openLog(disk);
    for (let index = 1; index < 200; index += 40) {
      save(disk, log, {
        hardState: state(index, index - 1),
        entries: entries(index, index + 40, index, 100),
      });
      expect(log.lastIndex).toBe(index + 39);
    }
    expect(disk.list(folder).length).toBeGreaterThan(3);
    log = reopened(disk, log);
    expect(log.slice(1, 201, 1e9).map(print)).toEqual(
      [1, 41, 81, 121, 161].flatMap((from) => entries(from, from + 40, from, 100)).map(print),
    );
  });
});

test("the log shows a save when it is durable, not earlier, and then before done", () => {
  const disk = new CrashDisk();
  const { log } = openLog(disk);
  save(disk, log, { hardState: state(1), entries: entries(1, 4, 1) });
  let seen: number | undefined;
  log.saveRaftState({ hardState: state(2, 2), entries: entries(2, 9, 2) }, () => {
    seen = log.lastIndex;
  });
  expect(contentOf(log).entries).toEqual(entries(1, 4, 1).map(print));
  expect(log.readRaftState().hardState.term).toBe(1);
  expect(() => log.saveRaftState({ hardState: undefined, entries: [] }, () => {})).toThrow(
    "one save at a time",
  );
  disk.run();
  expect(seen).toBe(8);
  expect(log.readRaftState().hardState).toEqual(state(2, 2));
});

test("entries that are saved again replace the suffix from their first one", () => {
  const disk = new CrashDisk();
  let { log } = openLog(disk);
  save(disk, log, { entries: entries(1, 31, 1, 150) });
  save(disk, log, { entries: entries(31, 41, 2) });
  save(disk, log, { entries: entries(20, 22, 3) });
  const wanted = [...entries(1, 20, 1, 150), ...entries(20, 22, 3)].map(print);
  expect(contentOf(log).entries).toEqual(wanted);
  expect([log.term(19), log.term(20), log.term(21), log.term(22)]).toEqual([1, 3, 3, undefined]);
  log = reopened(disk, log);
  save(disk, log, { entries: entries(22, 60, 3, 90) });
  save(disk, log, { entries: entries(1, 2, 4) });
  expect(contentOf(log).entries).toEqual(entries(1, 2, 4).map(print));
  reopened(disk, log);
});

test("a slice takes what fits, at least one, and stops at its limit, in memory and on disk", () => {
  for (const tailBytesMax of [0, 1_000_000]) {
    const disk = new CrashDisk();
    const { log } = openLog(disk, { ...smallOptions, tailBytesMax });
    save(disk, log, { entries: entries(1, 101, 1, 100) });
    const indexes = (from: number, limit: number, bytes: number) =>
      log.slice(from, limit, bytes).map((e) => e.index);
    expect(indexes(5, 8, 1e9)).toEqual([5, 6, 7]);
    expect(indexes(98, 500, 1e9)).toEqual([98, 99, 100]);
    expect(indexes(50, 500, 0)).toEqual([50]);
    expect(indexes(50, 500, 99)).toEqual([50]);
    expect(indexes(50, 500, 299)).toEqual([50, 51]);
    expect(indexes(50, 500, 300)).toEqual([50, 51, 52]);
    expect(indexes(50, 50, 300)).toEqual([]);
    expect(indexes(101, 200, 300)).toEqual([]);
    expect(log.slice(1, 101, 1e9)).toEqual(
      entries(1, 101, 1, 100).map((e) => ({ ...e, data: expect.anything() })),
    );
  }
});

test("entries that do not follow the log, or each other, are a bug of the caller", () => {
  const disk = new CrashDisk();
  const { log } = openLog(disk);
  const saveAll = (list: ReturnType<typeof entries>) => () => save(disk, log, { entries: list });
  expect(saveAll(entries(2, 3, 1))).toThrow("without a gap");
  expect(saveAll([...entries(1, 3, 1), ...entries(4, 5, 1)])).toThrow("without a gap");
  expect(saveAll(entries(0, 1, 1))).toThrow("dropped");
  expect(log.lastIndex).toBe(0);
});

test("the vote and the previous term survive when the front segments are dropped", () => {
  const disk = new CrashDisk();
  const { log } = openLog(disk);
  save(disk, log, { hardState: state(5, 0, peer), entries: entries(1, 20, 4, 100) });
  for (let index = 20; index < 200; index += 20)
    save(disk, log, { entries: entries(index, index + 20, 5, 100) });
  const whole = contentOf(log).entries;
  log.close();
  const names = disk.list(folder);
  expect(names.length).toBeGreaterThan(3);
  for (let dropped = 1; dropped < names.length; dropped++) {
    disk.remove(`${folder}/${names[dropped - 1]}`);
    const copy = disk.copy();
    const again = openLog(copy).log;
    const firstIndex = Number(names[dropped]!.slice(0, 20));
    expect(again.readRaftState()).toEqual({ hardState: state(5, 0, peer), firstIndex, lastIndex: 199 });
    expect(contentOf(again).entries).toEqual(whole.slice(firstIndex - 1));
    expect(again.term(firstIndex - 1)).toBe(firstIndex - 1 < 20 ? 4 : 5);
    expect(again.term(firstIndex - 2)).toBeUndefined();
    expect(() => again.slice(firstIndex - 1, 300, 100)).toThrow("dropped");
    save(copy, again, { entries: entries(firstIndex, firstIndex + 2, 6) });
    reopened(copy, again);
  }
});

test("restarts do not pile up files", () => {
  const disk = new CrashDisk();
  let { log } = openLog(disk);
  save(disk, log, { hardState: state(1), entries: entries(1, 10, 1) });
  for (let round = 0; round < 20; round++) log = reopened(disk, log);
  expect(disk.list(folder).length).toBeLessThanOrEqual(2);
});

describe("nothing grows with the log", () => {
  test("an append costs the same operations and bytes at any length", () => {
    const disk = new CrashDisk();
    const { log } = openLog(disk, {
      ...smallOptions,
      segmentBytesMax: 1e9,
      aheadBytes: 0,
      tailBytesMax: 1e9,
    });
    const cost = (index: number) => {
      const before = [disk.operations, disk.bytesWritten, disk.bytesRead];
      save(disk, log, { entries: entries(index, index + 1, 1, 100) });
      return [disk.operations, disk.bytesWritten, disk.bytesRead].map((now, at) => now - before[at]!);
    };
    const first = cost(1);
    expect(first).toEqual([2, groupHeaderBytes + 100 + 4, 0]);
    for (let index = 2; index < 100; index++) cost(index);
    expect(cost(100)).toEqual(first);
  });

  test("reading an old entry reads a bounded piece of the file, and opens a bounded number of files", () => {
    const disk = new CrashDisk();
    const options = { ...smallOptions, segmentBytesMax: 2 * 1024 * 1024, groupBytesMax: 8192 };
    const { log } = openLog(disk, options);
    for (let index = 1; index < 4001; index += 400)
      save(disk, log, { entries: entries(index, index + 400, 1, 1000) });
    for (const index of [1, 500, 1999, 2700, 3600]) {
      disk.bytesRead = 0;
      expect(log.slice(index, index + 1, 1).map(print)).toEqual(
        entries(index, index + 1, 1, 1000).map(print),
      );
      expect(disk.bytesRead).toBeGreaterThan(0);
      expect(disk.bytesRead).toBeLessThan(300_000);
    }
  });
});
