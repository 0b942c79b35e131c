/** A log that nobody has open, looked at: it agrees with what a start says, and goes on where a start ends. */
import { describe, expect, test } from "bun:test";
import { checkLog, type LogCheck, ownerOfLog } from "../../src/raftlog/check-log.ts";
import { groupSeed } from "../../src/raftlog/group.ts";
import { GroupReader } from "../../src/raftlog/group-reader.ts";
import type { LogOwner } from "../../src/raftlog/options.ts";
import { segmentHeaderBytes } from "../../src/raftlog/segment.ts";
import { CrashDisk } from "./crash-disk.ts";
import {
  entries,
  errorOf,
  folder,
  openLog,
  owner,
  peer,
  print,
  save,
  smallOptions,
  state,
} from "./log-fixture.ts";

const options = { ...smallOptions, aheadBytes: 256, fillBytes: 128, segmentBytesMax: 5200 };

/** A log of several segments with several groups each; the second leader has replaced a suffix. Closed. */
function smallLog(): CrashDisk {
  const disk = new CrashDisk();
  const { log } = openLog(disk, options);
  for (let at = 0; at < 12; at++)
    save(disk, log, { hardState: state(1, at, peer), entries: entries(1 + 3 * at, 4 + 3 * at, 1, 60) });
  save(disk, log, { hardState: state(2, 20), entries: entries(30, 32, 2, 60) });
  for (let at = 0; at < 6; at++)
    save(disk, log, { hardState: state(2, 30 + 2 * at), entries: entries(32 + 2 * at, 34 + 2 * at, 2, 90) });
  log.close();
  return disk;
}

function check(disk: CrashDisk, whose: LogOwner = owner): LogCheck {
  const steps = checkLog(disk, folder, whose);
  for (let step = steps.next(); ; step = steps.next()) {
    if (step.done) return step.value;
    expect(step.value.done).toBeLessThanOrEqual(step.value.total);
  }
}

interface Place {
  readonly path: string;
  readonly offset: number;
  readonly number: number;
}

function groupsOf(disk: CrashDisk): Place[] {
  return disk.list(folder).flatMap((name) => {
    const path = `${folder}/${name}`;
    const file = disk.open(path, "read");
    const reader = new GroupReader(file, path, segmentHeaderBytes, file.size(), groupSeed(owner), 4096);
    const places: Place[] = [];
    while (reader.next()) places.push({ path, offset: reader.offset, number: reader.header!.number });
    return places;
  });
}

function flip(disk: CrashDisk, path: string, offset: number): void {
  disk.raw(path)[offset]! ^= 1 << (offset & 7);
}

/** File and offset of each finding. */
function placesOf({ findings }: LogCheck): string[] {
  return findings.map(({ file, offset }) => `${file} ${offset}`);
}

describe("a whole log", () => {
  test("has no findings, and shows what a start shows", () => {
    const disk = smallLog();
    const before = disk.snapshot();
    const operations = disk.operations;
    const { findings, torn, leftovers, strangers, log, firstEntry, termOf } = check(disk);
    expect({ findings, torn, leftovers, strangers }).toEqual({
      findings: [],
      torn: undefined,
      leftovers: [],
      strangers: [],
    });
    expect(disk.operations).toBe(operations);
    expect(disk.snapshot()).toEqual(before);
    const opened = openLog(disk, options).log;
    expect(log).toMatchObject({ ...opened.readRaftState(), segments: before.size });
    expect(log!.segments).toBeGreaterThan(3);
    expect(print(firstEntry!)).toBe(print(opened.slice(1, 2, 1)[0]!));
    for (let index = 0; index <= opened.lastIndex + 1; index++)
      expect(termOf(index)).toBe(opened.term(index));
  });

  test("may be none at all", () => {
    expect(check(new CrashDisk())).toMatchObject({ findings: [], log: undefined, firstEntry: undefined });
    expect(ownerOfLog(new CrashDisk(), folder)).toBeUndefined();
    expect(ownerOfLog(smallLog(), folder)).toEqual(owner);
  });

  test("may have lost its front to a compaction, or have begun anew", () => {
    for (const how of ["dropped", "anew"]) {
      const disk = smallLog();
      const { log } = openLog(disk, options);
      if (how === "anew") {
        save(disk, log, { start: { term: 2, index: 99 } });
        expect(check(disk).log).toMatchObject({ firstIndex: 100, lastIndex: 99, segments: 1 });
        save(disk, log, { hardState: state(3, 100, peer), entries: entries(100, 130, 3, 200) });
      } else while (log.compact({ upTo: 30, tailEntries: 0, tailBytes: 0 }));
      expect(log.firstIndex).toBeGreaterThan(1);
      const { findings, torn, leftovers, log: found, firstEntry, termOf } = check(disk);
      expect({ findings, torn, leftovers }).toEqual({ findings: [], torn: undefined, leftovers: [] });
      expect(found).toMatchObject({ ...log.readRaftState(), segments: disk.list(folder).length });
      const { firstIndex, lastIndex } = found!;
      expect(firstEntry?.index).toBe(lastIndex < firstIndex ? undefined : firstIndex);
      for (let index = 0; index <= log.lastIndex + 1; index++) expect(termOf(index)).toBe(log.term(index));
    }
  });

  test("may have files of before its start anew, which the next start removes", () => {
    const disk = smallLog();
    const { log } = openLog(disk, options);
    const old = disk.list(folder).map((name) => ({ name, content: disk.raw(`${folder}/${name}`).slice() }));
    save(disk, log, { start: { term: 2, index: 99 }, entries: entries(100, 102, 2) });
    log.close();
    for (const { name, content } of old) disk.replace(`${folder}/${name}`, content);
    const { findings, leftovers, log: found } = check(disk);
    expect(findings).toEqual([]);
    expect(leftovers.toSorted()).toEqual(old.map(({ name }) => `${folder}/${name}`));
    expect(found).toMatchObject({ firstIndex: 100, lastIndex: 101, segments: 1 });
    expect(openLog(disk, options).log.readRaftState()).toMatchObject({ firstIndex: 100, lastIndex: 101 });
    expect(check(disk).leftovers).toEqual([]);
  });

  test("with a torn tail is whole up to there", () => {
    const disk = smallLog();
    const last = groupsOf(disk).at(-1)!;
    const content = disk.raw(last.path);
    disk.replace(last.path, content.slice(0, last.offset + 40));
    const { findings, torn, log } = check(disk);
    expect(findings).toEqual([]);
    expect(torn).toEqual({ path: last.path, offset: last.offset, bytes: 40, group: last.number });
    expect(log!.lastIndex).toBe(41);
  });

  test("may have unfinished segments, and files of others", () => {
    const disk = smallLog();
    const name = disk.list(folder)[0]!;
    for (const other of [`${name}.tmp`, "notes.txt"]) disk.open(`${folder}/${other}`, "create");
    const { findings, leftovers, strangers } = check(disk);
    expect({ findings, leftovers, strangers }).toEqual({
      findings: [],
      leftovers: [`${folder}/${name}.tmp`],
      strangers: [`${folder}/notes.txt`],
    });
  });
});

/** A log that began anew and whose front was dropped then. */
function shrunkLog(): CrashDisk {
  const disk = smallLog();
  const { log } = openLog(disk, options);
  save(disk, log, { start: { term: 2, index: 99 }, entries: entries(100, 112, 2, 150) });
  for (let at = 0; at < 6; at++)
    save(disk, log, { hardState: state(3, 100), entries: entries(112 + 2 * at, 114 + 2 * at, 3, 90) });
  log.compact({ upTo: 111, tailEntries: 0, tailBytes: 0 });
  expect(log.firstIndex).toBeGreaterThan(100);
  log.close();
  return disk;
}

test("any flipped bit is a finding exactly when a start refuses the log", () => {
  for (const disk of [smallLog(), shrunkLog()]) flipEverywhere(disk);
});

function flipEverywhere(disk: CrashDisk): void {
  for (const name of disk.list(folder)) {
    const path = `${folder}/${name}`;
    const { length } = disk.raw(path);
    for (let offset = 0; offset < length; offset += offset < 100 || offset >= segmentHeaderBytes ? 5 : 499) {
      const copy = disk.copy();
      flip(copy, path, offset);
      const { findings } = check(copy);
      const refusal = errorOf(() => openLog(copy, options));
      expect(findings.length > 0, `byte ${offset} of ${name}`).toBe(refusal !== undefined);
      if (refusal === undefined) continue;
      expect(findings[0]!.file).toBe(path);
      expect(findings[0]!.code as string).toBe(refusal.code);
      expect(findings.length, `byte ${offset} of ${name}: ${JSON.stringify(findings)}`).toBe(1);
    }
  }
}

describe("several damages", () => {
  test("in one segment and in others are all told", () => {
    const disk = smallLog();
    const groups = groupsOf(disk);
    const path = disk.list(folder).map((name) => `${folder}/${name}`);
    const [first, , third] = path.map((one) => groups.filter((group) => group.path === one));
    const damaged = [first![1]!, first![3]!, third![0]!];
    for (const { path, offset } of damaged) flip(disk, path, offset + 40);
    expect(placesOf(check(disk))).toEqual(damaged.map(({ path, offset }) => `${path} ${offset}`));
  });

  test("a damaged header hides neither what stands in its segment nor what follows it", () => {
    const disk = smallLog();
    const groups = groupsOf(disk);
    const [first, second, third] = disk.list(folder).map((name) => `${folder}/${name}`);
    const inSecond = groups.filter(({ path }) => path === second)[1]!;
    const inThird = groups.filter(({ path }) => path === third)[1]!;
    flip(disk, second!, 77);
    flip(disk, second!, inSecond.offset + 40);
    flip(disk, third!, inThird.offset + 3);
    const result = check(disk);
    expect(placesOf(result).toSorted()).toEqual(
      [`${second} 0`, `${second} ${inSecond.offset}`, `${third} ${inThird.offset}`].toSorted(),
    );
    expect(result.log!.firstIndex).toBe(1);
    expect(groups[0]!.path).toBe(first!);
  });

  test("a segment that is missing is one, and what follows is looked at", () => {
    const disk = smallLog();
    const [first, second, third] = disk.list(folder).map((name) => `${folder}/${name}`);
    const inThird = groupsOf(disk).filter(({ path }) => path === third)[1]!;
    disk.remove(second!);
    flip(disk, third!, inThird.offset + 40);
    const { findings } = check(disk);
    expect(findings.map(({ file }) => file)).toEqual([first!, third!]);
    expect(findings[0]!.wanted).toContain(`which "${third}" follows`);
  });

  test("segments of another node, of another format, and under another name are each told once", () => {
    const disk = smallLog();
    const other = { ...owner, nodeId: "00000000000000ff" };
    const foreign = check(disk, other).findings;
    expect(foreign.map(({ code, file }) => [code, file])).toEqual(
      disk.list(folder).map((name) => ["IDENTITY", `${folder}/${name}`]),
    );
    const [first] = disk.list(folder).map((name) => `${folder}/${name}`);
    disk.raw(first!)[4] = 9;
    disk.replace(`${folder}/copy of it.log`, disk.raw(first!).slice());
    const { findings } = check(disk);
    expect(findings.map(({ code, file }) => [code, file])).toEqual([
      ["FORMAT", first!],
      ["CORRUPTION", `${folder}/copy of it.log`],
    ]);
  });
});
