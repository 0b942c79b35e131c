/** The front of a log is dropped, segment by segment, and what stays is as it was. */
import { describe, expect, test } from "bun:test";
import { KvraftError } from "../../src/lib/error.ts";
import type { Index } from "../../src/raft/types.ts";
import type { Keep } from "../../src/raftlog/compaction.ts";
import { LogMap } from "../../src/raftlog/log-map.ts";
import type { Persister } from "../../src/raftlog/persister.ts";
import { StoredSegment } from "../../src/raftlog/stored-segment.ts";
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
  smallOptions,
  state,
} from "./log-fixture.ts";

const nothing: Omit<Keep, "upTo"> = { tailEntries: 0, tailBytes: 0 };

/** Entries 1 to 199 in saves of 20; the term grows with each save. */
function longLog(disk: CrashDisk, options = smallOptions): Persister {
  const { log } = openLog(disk, options);
  save(disk, log, { hardState: state(1, 0, peer) });
  for (let index = 1; index < 200; index += 20) {
    const term = 1 + index;
    save(disk, log, { hardState: state(term, index - 1), entries: entries(index, index + 20, term, 100) });
  }
  expect(disk.list(folder).length).toBeGreaterThan(3);
  return log;
}

/** Where each segment begins, by the names of the files. */
function firstIndexes(disk: CrashDisk): Index[] {
  return disk.list(folder).map((name) => Number(name.slice(0, 20)));
}

function compactAll(log: Persister, keep: Keep): number {
  let calls = 1;
  while (log.compact(keep)) calls++;
  return calls;
}

test("one call drops one segment, the oldest, and says whether another call would drop another", () => {
  const disk = new CrashDisk();
  const log = longLog(disk);
  const whole = contentOf(log);
  let begins = firstIndexes(disk);
  for (let isMore = true; isMore; ) {
    const bytes = log.bytes;
    isMore = log.compact({ upTo: 200, ...nothing });
    expect(firstIndexes(disk)).toEqual(begins.slice(1));
    begins = begins.slice(1);
    expect(isMore).toBe(begins.length > 1);
    expect(log.firstIndex).toBe(begins[0]!);
    expect(log.bytes).toBeLessThan(bytes);
    expect(contentOf(log).entries).toEqual(whole.entries.slice(log.firstIndex - 1));
    expect(contentOf(log).terms).toEqual(whole.terms.slice(log.firstIndex - 1));
    expect(log.term(log.firstIndex - 2)).toBeUndefined();
    expect(() => log.slice(log.firstIndex - 1, 300, 100)).toThrow("dropped");
  }
  expect(log.compact({ upTo: 200, ...nothing })).toBe(false);
  expect(firstIndexes(disk).length).toBe(1);
});

test("a segment stays while one of its entries is behind upTo", () => {
  const disk = new CrashDisk();
  const log = longLog(disk);
  const [, second, third] = firstIndexes(disk) as [Index, Index, Index];
  expect(log.compact({ upTo: second - 2, ...nothing })).toBe(false);
  expect(log.firstIndex).toBe(1);
  expect(log.compact({ upTo: second - 1, ...nothing })).toBe(false);
  expect(log.firstIndex).toBe(second);
  expect(log.compact({ upTo: third - 2, ...nothing })).toBe(false);
  expect(log.firstIndex).toBe(second);
});

test("a tail stays: as many entries, or fewer when these bytes are enough", () => {
  const begin = (at: number) => firstIndexes(disk)[at]!;
  let disk = new CrashDisk();
  let log = longLog(disk);
  const third = begin(2);
  compactAll(log, { upTo: 200, tailEntries: 201 - third, tailBytes: 1e9 });
  expect(log.firstIndex).toBe(third);
  disk = new CrashDisk();
  log = longLog(disk);
  compactAll(log, { upTo: 200, tailEntries: 202 - third, tailBytes: 1e9 });
  expect(log.firstIndex).toBe(begin(0));
  expect(log.firstIndex).toBeLessThan(third);
  // 100 bytes of data each, and what records and groups add.
  disk = new CrashDisk();
  log = longLog(disk);
  compactAll(log, { upTo: 200, tailEntries: 1e9, tailBytes: 5000 });
  expect(200 - log.firstIndex).toBeGreaterThan(40);
  const kept = log.firstIndex;
  compactAll(log, { upTo: 200, tailEntries: 1e9, tailBytes: 20_000 });
  expect(log.firstIndex).toBe(kept);
});

test("a log whose front was dropped opens again, is written, and is dropped further", () => {
  const disk = new CrashDisk();
  let log = longLog(disk);
  let round = 0;
  for (let next = 201; next < 600; next += 20) {
    save(disk, log, {
      hardState: state(300 + round, next - 1, peer),
      entries: entries(next, next + 20, 300),
    });
    log.compact({ upTo: next, tailEntries: 30, tailBytes: 1e9 });
    const before = { ...contentOf(log), ...log.readRaftState(), configurations: [...log.configurations] };
    if (round++ % 3 !== 0) continue;
    log.close();
    const again = openLog(disk);
    log = again.log;
    expect(again.lines).toEqual([]);
    expect({ ...contentOf(log), ...log.readRaftState(), configurations: [...log.configurations] }).toEqual(
      before,
    );
  }
  expect(log.firstIndex).toBeGreaterThan(500);
  expect(disk.list(folder).length).toBeLessThan(8);
});

test("a save may be under way: one that appends, one that begins a segment, and one that replaces", () => {
  const disk = new CrashDisk();
  const log = longLog(disk);
  const underWay = (list: ReturnType<typeof entries>, upTo: Index) => {
    let isDone = false;
    log.saveRaftState({ hardState: undefined, entries: list }, () => {
      isDone = true;
    });
    log.compact({ upTo, ...nothing });
    expect(isDone).toBe(false);
    disk.run();
    expect(isDone).toBe(true);
  };
  const firsts = [log.firstIndex];
  underWay(entries(201, 203, 500), 200);
  firsts.push(log.firstIndex);
  underWay(entries(203, 240, 500, 700), 200);
  firsts.push(log.firstIndex);
  expect(new Set(firsts).size).toBe(3);
  // What is being replaced is not dropped, whatever the caller says.
  const from = log.firstIndex + 1;
  underWay(entries(from, from + 2, 600), 239);
  expect(log.firstIndex).toBe(from - 1);
  expect(log.lastIndex).toBe(from + 1);
  const before = contentOf(log);
  log.close();
  expect(contentOf(openLog(disk).log)).toEqual(before);
});

test("segments whose entries were all replaced go with those before them", () => {
  const disk = new CrashDisk();
  const { log } = openLog(disk);
  save(disk, log, { entries: entries(1, 40, 1, 200) });
  save(disk, log, { entries: entries(40, 50, 2, 200) });
  save(disk, log, { entries: entries(45, 47, 3, 200) });
  save(disk, log, { entries: [...entries(20, 30, 4, 200), { ...entry(30, 4), kind: "config" }] });
  save(disk, log, { entries: entries(31, 90, 5, 200) });
  const whole = contentOf(log);
  for (let isMore = true; isMore; ) {
    isMore = log.compact({ upTo: 89, ...nothing });
    const now = { ...contentOf(log), configurations: [...log.configurations] };
    expect(now.entries).toEqual(whole.entries.slice(log.firstIndex - 1));
    expect(now.terms).toEqual(whole.terms.slice(log.firstIndex - 1));
    expect(now.configurations).toEqual(log.firstIndex <= 30 ? [30] : []);
    const again = openLog(disk.copy()).log;
    expect({ ...contentOf(again), configurations: [...again.configurations] }).toEqual(now);
  }
});

test("a file that is read and one in memory are no longer asked for, and no file stays open", () => {
  const disk = new CrashDisk();
  const log = longLog(disk, { ...smallOptions, tailBytesMax: 1e9 });
  log.close();
  const again = openLog(disk, { ...smallOptions, tailBytesMax: 0, openSegmentsMax: 100 }).log;
  const wanted = contentOf(again).entries;
  expect(disk.openFiles).toBeGreaterThan(4);
  while (again.compact({ upTo: 200, ...nothing }));
  expect(disk.openFiles).toBeLessThan(3);
  expect(again.slice(again.firstIndex, 201, 1e9).map(print)).toEqual(wanted.slice(again.firstIndex - 1));
});

describe("the configurations", () => {
  test("follow appends, replacements, drops and starts", () => {
    const disk = new CrashDisk();
    let { log } = openLog(disk);
    const config = (index: number, term: number) => ({ ...entry(index, term), kind: "config" as const });
    save(disk, log, { entries: [config(1, 1), ...entries(2, 40, 1, 200), config(40, 1)] });
    expect(log.configurations).toEqual([1, 40]);
    save(disk, log, { entries: [...entries(41, 50, 1, 200), config(50, 1), config(51, 1)] });
    expect(log.configurations).toEqual([1, 40, 50, 51]);
    save(disk, log, { entries: [entry(51, 2), config(52, 2)] });
    expect(log.configurations).toEqual([1, 40, 50, 52]);
    save(disk, log, { entries: [entry(40, 3), ...entries(41, 90, 3, 200), config(90, 3)] });
    expect(log.configurations).toEqual([1, 90]);
    log.close();
    log = openLog(disk).log;
    expect(log.configurations).toEqual([1, 90]);
    compactAll(log, { upTo: 90, ...nothing });
    expect(log.configurations).toEqual([90]);
    log.close();
    expect(openLog(disk).log.configurations).toEqual([90]);
  });
});

test("a removal that fails kills the log, and leaves one that opens", () => {
  for (const action of ["remove", "syncFolder"]) {
    const disk = new CrashDisk();
    const log = longLog(disk);
    const failure = new KvraftError("IO_ERROR", "Cannot remove it");
    disk.failure = (now) => (now === action ? failure : undefined);
    expect(log.compact({ upTo: 200, ...nothing })).toBe(false);
    disk.failure = undefined;
    expect(log.compact({ upTo: 200, ...nothing })).toBe(false);
    expect(errorOf(() => save(disk, log, { entries: entries(201, 202, 900) }))?.message).toBe(
      failure.message,
    );
    log.close();
    expect(openLog(disk).log.lastIndex).toBe(200);
  }
});

test("a map that drops its front remembers no more than what stays", () => {
  const map = new LogMap();
  const hardState = state(0);
  let index = 1;
  for (let segment = 1; segment < 100; segment++) {
    const previousTerm = map.term(index - 1)!;
    const header = {
      firstGroup: segment,
      afterGroup: segment - 1,
      link: 0,
      firstIndex: index,
      previousTerm,
      hardState,
    };
    map.beginSegment(new StoredSegment(`${segment}`, header, 4096));
    for (let count = 0; count < 10; count++, index++) map.append({ index, term: index, kind: "config" });
    if (segment > 1) expect(map.dropFirst().path).toBe(`${segment - 1}`);
    expect([map.termChanges, map.configurations.length]).toEqual([11, 10]);
  }
});

test("the terms of what stays are told, and that of the entry before", () => {
  const disk = new CrashDisk();
  const { log } = openLog(disk);
  for (let index = 1; index < 400; index++) {
    save(disk, log, { entries: entries(index, index + 1, index, 200) });
    log.compact({ upTo: index, ...nothing });
  }
  expect(log.firstIndex).toBeGreaterThan(300);
  for (let index = log.firstIndex - 1; index < 400; index++) expect(log.term(index)).toBe(index);
});

describe("what the store has is dropped at open", () => {
  /** The files that are there when the first one is made. */
  function filesAtFirstWrite(applied: { index: Index; term: number }, tailEntries = 0): string[] {
    const disk = new CrashDisk();
    longLog(disk).close();
    let names: string[] | undefined;
    disk.failure = (action) => {
      if (action === "create") names ??= disk.list(folder);
      return undefined;
    };
    const { log } = openLog(disk, {
      ...smallOptions,
      stored: { applied, tailEntries, tailBytes: 1_000_000 },
    });
    expect(contentOf(log).entries.at(-1)).toBe(print(entries(200, 201, 182, 100)[0]!));
    log.close();
    expect(errorOf(() => openLog(disk).log.close())).toBeUndefined();
    return names!;
  }

  test("before anything is written, for a full disk may have no other room", () => {
    const disk = new CrashDisk();
    longLog(disk).close();
    const all = disk.list(folder);
    expect(filesAtFirstWrite({ index: 200, term: 182 })).toEqual(all.slice(-1));
    expect(filesAtFirstWrite({ index: 200, term: 182 }, 1000)).toEqual(all);
  });

  test("unless the store was made from another log, or has less", () => {
    const disk = new CrashDisk();
    longLog(disk).close();
    const all = disk.list(folder);
    for (const applied of [
      { index: 200, term: 181 },
      { index: 300, term: 182 },
      { index: 0, term: 0 },
    ])
      expect(filesAtFirstWrite(applied)).toEqual(all);
  });
});
