import { describe, expect, test } from "bun:test";
import { Prng } from "../../src/env/prng.ts";
import { ByteWriter } from "../../src/lib/codec.ts";
import { KvraftError } from "../../src/lib/error.ts";
import { groupHeaderBytes, groupSeed, sealGroup } from "../../src/raftlog/group.ts";
import { endOfContent, findGroup, GroupReader } from "../../src/raftlog/group-reader.ts";
import { defaultLogOptions } from "../../src/raftlog/options.ts";
import { Persister } from "../../src/raftlog/persister.ts";
import { segmentHeaderBytes } from "../../src/raftlog/segment.ts";
import { CrashDisk } from "./crash-disk.ts";
import {
  contentOf,
  entries,
  entry,
  errorOf,
  folder,
  openLog,
  owner,
  peer,
  print,
  save,
  seedOfRun,
  smallOptions,
  state,
} from "./log-fixture.ts";

const options = { ...smallOptions, aheadBytes: 256, fillBytes: 128, segmentBytesMax: 5200 };

/** A log of two segments or more, closed, and what it held after each save. */
function smallLog(): { disk: CrashDisk; contents: string[][] } {
  const disk = new CrashDisk();
  const { log } = openLog(disk, options);
  const contents: string[][] = [];
  const saves = [
    entries(1, 4, 1, 90),
    entries(4, 6, 1, 300),
    entries(6, 9, 2, 60),
    entries(9, 11, 2, 30),
    entries(11, 12, 2, 100),
  ];
  for (const [at, list] of saves.entries()) {
    save(disk, log, { hardState: state(2, at, peer), entries: list });
    contents.push(contentOf(log).entries);
  }
  log.close();
  return { disk, contents };
}

function pathsOf(disk: CrashDisk): string[] {
  return disk.list(folder).map((name) => `${folder}/${name}`);
}

/** Where the groups of a file begin, and where the last one ends. */
function groupOffsets(disk: CrashDisk, path: string): number[] {
  const file = disk.open(path, "read");
  const reader = new GroupReader(file, path, segmentHeaderBytes, file.size(), groupSeed(owner), 4096);
  const offsets: number[] = [];
  while (reader.next()) offsets.push(reader.offset);
  return [...offsets, reader.offset];
}

test("the small log has several segments, and several groups in its last one", () => {
  const { disk } = smallLog();
  const paths = pathsOf(disk);
  expect(paths.length).toBe(2);
  expect(paths.map((path) => groupOffsets(disk, path).length - 1)).toEqual([3, 3]);
  expect(disk.raw(paths[1]!).length).toBeGreaterThan(groupOffsets(disk, paths[1]!).at(-1)!);
});

test("a last group that is cut at any byte is put aside with a line that says so", () => {
  const { disk, contents } = smallLog();
  const path = pathsOf(disk)[1]!;
  const [begin, end] = groupOffsets(disk, path).slice(-2) as [number, number];
  for (let cut = begin; cut < end; cut++) {
    for (const zeros of [0, 300]) {
      const copy = disk.copy();
      const bytes = new Uint8Array(cut + zeros);
      bytes.set(disk.raw(path).subarray(0, cut));
      copy.replace(path, bytes);
      const { log, lines } = openLog(copy, options);
      expect(contentOf(log).entries).toEqual(contents.at(-2)!);
      if (cut === begin) expect(lines).toEqual([]);
      else {
        const last = bytes.findLastIndex((byte) => byte !== 0) + 1;
        expect(lines.length).toBe(1);
        expect(lines[0]).toContain(`"${path}" at byte ${begin}, ${last - begin} bytes`);
      }
      // The torn group is still in the file, and must never be seen again.
      save(copy, log, { entries: entries(log.lastIndex + 1, log.lastIndex + 3, 9) });
      const wanted = contentOf(log).entries;
      log.close();
      const again = openLog(copy, options);
      expect(contentOf(again.log).entries).toEqual(wanted);
      expect(again.lines).toEqual([]);
    }
  }
});

/** Opens a damaged copy: it is refused with nothing changed, or it lost the last group at most. */
function judge(
  copy: CrashDisk,
  path: string,
  contents: readonly string[][],
  mayCut: boolean,
): "refused" | "cut" | "whole" {
  const before = copy.snapshot();
  let found: string[];
  try {
    found = contentOf(openLog(copy, options).log).entries;
  } catch (error) {
    if (!(error instanceof KvraftError)) throw error;
    expect(["CORRUPTION", "FORMAT", "IDENTITY"]).toContain(error.code);
    expect(error.message).toContain(`"${path}"`);
    if (error.code === "CORRUPTION")
      expect(error.message).toMatch(
        /at byte \d+: expected .*, found .*; nothing was changed; replace this node/,
      );
    expect(copy.snapshot()).toEqual(before);
    return "refused";
  }
  if (found.join() === contents.at(-1)!.join()) return "whole";
  expect(mayCut).toBe(true);
  expect(found).toEqual(contents.at(-2)!);
  return "cut";
}

test("a flipped bit at any byte is found, and costs the last group at most", () => {
  const { disk, contents } = smallLog();
  const prng = new Prng(seedOfRun);
  const counts = { refused: 0, cut: 0, whole: 0 };
  const paths = pathsOf(disk);
  for (const path of paths) {
    const isLast = path === paths.at(-1);
    const [lastGroup, end] = groupOffsets(disk, path).slice(-2) as [number, number];
    const length = disk.raw(path).length;
    for (let at = 0; at < length; at++) {
      // The padding of a header is one range under one checksum: a part of it stands for the rest.
      if (at > 200 && at < segmentHeaderBytes - 8 && at % 64 !== 0) continue;
      const copy = disk.copy();
      copy.raw(path)[at]! ^= 1 << prng.int(0, 7);
      copy.largestRead = 0;
      const outcome = judge(copy, path, contents, isLast && at >= lastGroup);
      counts[outcome]++;
      expect(copy.largestRead).toBeLessThanOrEqual(length);
      if (outcome === "whole" && at < end)
        throw new Error(`SEED=${seedOfRun} the flip at byte ${at} of "${path}" was not seen`);
    }
  }
  expect(counts.refused).toBeGreaterThan(1000);
  expect(counts.cut).toBeGreaterThan(130);
});

test("zeros over any group but the last are damage, not a shorter log", () => {
  const { disk, contents } = smallLog();
  for (const [file, path] of pathsOf(disk).entries()) {
    const offsets = groupOffsets(disk, path);
    for (let at = 0; at + 1 < offsets.length; at++) {
      const copy = disk.copy();
      copy.raw(path).fill(0, offsets[at]!, offsets[at + 1]!);
      const isVeryLast = file === 1 && at + 2 === offsets.length;
      expect(judge(copy, path, contents, isVeryLast)).toBe(isVeryLast ? "cut" : "refused");
    }
  }
});

test("a valid group of another history is damage: the chain does not lead to it", () => {
  const histories = [1, 2].map((term) => {
    const disk = new CrashDisk();
    const { log } = openLog(disk, options);
    for (let index = 1; index < 4; index++) save(disk, log, { entries: entries(index, index + 1, term, 50) });
    log.close();
    return disk;
  });
  const [disk, other] = histories as [CrashDisk, CrashDisk];
  const path = pathsOf(disk)[0]!;
  const offsets = groupOffsets(disk, path);
  expect(groupOffsets(other, path)).toEqual(offsets);
  expect(offsets.length).toBe(5);
  const [at, end] = offsets.slice(-2) as [number, number];
  disk.raw(path).set(other.raw(path).subarray(at, end), at);
  const error = errorOf(() => openLog(disk, options));
  expect(error?.code).toBe("CORRUPTION");
  expect(error?.message).toMatch(
    new RegExp(`at byte ${at}: expected group 4 after link \\d+, found group 4 after link`),
  );
});

test("the search for later groups sees a header at any byte, also where two reads of the file meet", () => {
  const seed = groupSeed(owner);
  const writer = new ByteWriter();
  writer.skip(groupHeaderBytes);
  sealGroup(writer, 0, 7, 0, seed);
  const disk = new CrashDisk();
  const file = disk.open("data/file", "create");
  const meet = 1024 * 1024;
  for (let at = meet - 40; at < meet + 40; at++) {
    disk.replace("data/file", new Uint8Array(meet + 100));
    disk.raw("data/file").set(writer.view(), at);
    const found = disk.open("data/file", "read");
    expect(findGroup(found, 0, meet + 100, seed, 7)).toEqual({ offset: at, number: 7 });
    expect(findGroup(found, 0, meet + 100, seed, 8)).toBeUndefined();
    expect(endOfContent(found, 0, meet + 100)).toBe(
      at + writer.view().findLastIndex((byte) => byte !== 0) + 1,
    );
  }
  file.close();
});

test("the first group of a segment was synced before the file had its name, so it is never taken for torn", () => {
  const disk = new CrashDisk();
  const { log } = openLog(disk, options);
  save(disk, log, { entries: entries(1, 4, 1) });
  log.close();
  openLog(disk, options).log.close();
  const path = pathsOf(disk).at(-1)!;
  disk.raw(path)[segmentHeaderBytes + 40]! ^= 1;
  const error = errorOf(() => openLog(disk, options));
  expect(error?.code).toBe("CORRUPTION");
  expect(error?.message).toContain(`"${path}" is damaged at byte ${segmentHeaderBytes}: expected group 3`);
});

describe("a segment that is missing, foreign or in the wrong place is refused", () => {
  /** Three segments, so that one of them is in the middle. */
  function longLog(): CrashDisk {
    const disk = new CrashDisk();
    const { log } = openLog(disk, options);
    for (let index = 1; index < 41; index += 4)
      save(disk, log, { entries: entries(index, index + 4, 1, 100) });
    log.close();
    expect(disk.list(folder).length).toBeGreaterThan(3);
    return disk;
  }

  test("a gap between segments", () => {
    const disk = longLog();
    const paths = pathsOf(disk);
    disk.remove(paths[1]!);
    const error = errorOf(() => openLog(disk, options));
    expect(error?.code).toBe("CORRUPTION");
    expect(error?.message).toContain(`"${paths[0]}" is damaged at byte`);
    expect(error?.message).toContain(`expected group 4, which "${paths[2]}" follows`);
  });

  test("a segment under another name, and another file that ends in .log", () => {
    const disk = longLog();
    const paths = pathsOf(disk);
    disk.rename(paths[1]!, `${folder}/${"0".repeat(19)}7-${"0".repeat(19)}3.log`);
    expect(errorOf(() => openLog(disk, options))?.message).toContain(
      `the header of "${paths[1]!.slice(folder.length + 1)}"`,
    );
    const other = longLog();
    other.open(`${folder}/copy.log`, "create");
    expect(errorOf(() => openLog(other, options))?.message).toContain(`"${folder}/copy.log" is damaged`);
  });

  test("the log of another node or cluster", () => {
    const disk = longLog();
    const open = (clusterId: string, nodeId: string) => () =>
      Persister.open(disk, folder, { clusterId, nodeId }, options, () => {});
    const node = errorOf(open(owner.clusterId, "00000000000000a9"));
    expect(node?.code).toBe("IDENTITY");
    expect(node?.message).toContain("belongs to node 00000000000000a1, this node is 00000000000000a9");
    const cluster = errorOf(open("00000000000000c9", owner.nodeId));
    expect(cluster?.code).toBe("IDENTITY");
    expect(cluster?.message).toContain(
      "belongs to cluster 00000000000000c1, this cluster is 00000000000000c9",
    );
  });

  test("another format", () => {
    const disk = longLog();
    disk.raw(pathsOf(disk)[0]!)[4] = 3;
    const error = errorOf(() => openLog(disk, options));
    expect(error?.code).toBe("FORMAT");
    expect(error?.message).toContain(
      "is of format 3 of Raft group 0, this kvraft reads formats 1 to 2 of Raft group 0",
    );
  });
});

test("a value that holds a copy of a log is not taken for groups", () => {
  const stranger = new CrashDisk();
  const strangerOwner = { clusterId: owner.clusterId, nodeId: "00000000000000ee" };
  const other = Persister.open(stranger, folder, strangerOwner, defaultLogOptions, () => {});
  for (let index = 1; index < 30; index++) save(stranger, other, { entries: entries(index, index + 1, 1) });
  const foreign = stranger.raw(pathsOf(stranger)[0]!).slice(segmentHeaderBytes, segmentHeaderBytes + 1500);
  const { disk, contents } = smallLog();
  const own = disk.raw(pathsOf(disk)[0]!).slice(segmentHeaderBytes);
  for (const value of [foreign, own]) {
    const copy = disk.copy();
    const { log } = openLog(copy, defaultLogOptions);
    save(copy, log, { entries: [entry(12, 3)] });
    save(copy, log, { entries: [entry(13, 3, value)] });
    log.close();
    const path = pathsOf(copy).at(-1)!;
    const end = groupOffsets(copy, path).at(-1)!;
    copy.raw(path)[end - 1]! ^= 1;
    const again = openLog(copy, defaultLogOptions);
    expect(again.lines.length).toBe(1);
    expect(contentOf(again.log).entries).toEqual([...contents.at(-1)!, print(entry(12, 3))]);
  }
});

test("an entry that rots while the node runs is not handed out", () => {
  const disk = new CrashDisk();
  const { log } = openLog(disk, { ...options, tailBytesMax: 0 });
  save(disk, log, { entries: entries(1, 6, 1, 100) });
  save(disk, log, { entries: entries(6, 8, 1, 100) });
  const path = pathsOf(disk).at(-1)!;
  disk.raw(path)[groupOffsets(disk, path).at(-3)! + 300]! ^= 4;
  expect(log.slice(7, 8, 100).map(print)).toEqual(entries(7, 8, 1, 100).map(print));
  expect(errorOf(() => log.slice(2, 3, 100))?.code).toBe("CORRUPTION");
});

describe("a log whose front was dropped, or that began anew", () => {
  /** Both of them, in several segments of several groups each, closed. */
  function shrunkLogs(): CrashDisk[] {
    return ["dropped", "anew"].map((how) => {
      const disk = new CrashDisk();
      const { log } = openLog(disk, options);
      for (let index = 1; index < 21; index += 4)
        save(disk, log, { hardState: state(1, index), entries: entries(index, index + 4, 1, 100) });
      if (how === "anew") save(disk, log, { start: { term: 1, index: 60 } });
      for (let index = log.lastIndex + 1, end = index + 20; index < end; index += 4)
        save(disk, log, { hardState: state(2, index, peer), entries: entries(index, index + 4, 2, 100) });
      if (how === "dropped") log.compact({ upTo: 20, tailEntries: 0, tailBytes: 0 });
      expect(log.firstIndex).toBeGreaterThan(1);
      log.close();
      expect(disk.list(folder).length).toBeGreaterThan(2);
      return disk;
    });
  }

  test("is refused when any bit of its first segment is flipped", () => {
    const prng = new Prng(seedOfRun);
    for (const disk of shrunkLogs()) {
      const path = pathsOf(disk)[0]!;
      const end = groupOffsets(disk, path).at(-1)!;
      const before = disk.snapshot();
      for (let at = 0; at < end; at += at < 100 || at > segmentHeaderBytes ? 1 : 97) {
        const copy = disk.copy();
        copy.raw(path)[at]! ^= 1 << prng.int(0, 7);
        const damagedFiles = copy.snapshot();
        const error = errorOf(() => openLog(copy, options));
        expect(["CORRUPTION", "FORMAT"]).toContain(error!.code);
        expect(error!.message).toContain(`"${path}"`);
        expect(copy.snapshot()).toEqual(damagedFiles);
      }
      expect(disk.snapshot()).toEqual(before);
    }
  });

  test("is refused when a segment is missing behind its first one", () => {
    for (const disk of shrunkLogs()) {
      const paths = pathsOf(disk);
      disk.remove(paths[1]!);
      const error = errorOf(() => openLog(disk, options));
      expect(error?.code).toBe("CORRUPTION");
      expect(error?.message).toContain(`which "${paths[2]}" follows`);
    }
  });

  test("is refused when a dropped segment is put back, and the one behind it is not", () => {
    const disk = new CrashDisk();
    const { log } = openLog(disk, options);
    for (let index = 1; index < 41; index += 4)
      save(disk, log, { entries: entries(index, index + 4, 1, 100) });
    const [first] = pathsOf(disk);
    const content = disk.raw(first!).slice();
    for (let drops = 0; drops < 2; drops++) log.compact({ upTo: 40, tailEntries: 0, tailBytes: 0 });
    log.close();
    const wanted = contentOf(openLog(disk.copy(), options).log);
    expect(wanted.firstIndex).toBeGreaterThan(5);
    disk.replace(first!, content);
    expect(errorOf(() => openLog(disk, options))?.code).toBe("CORRUPTION");
  });

  test("of which nothing older counts, wherever it comes from: files of before a start anew are put aside", () => {
    const disk = new CrashDisk();
    const { log } = openLog(disk, options);
    for (let index = 1; index < 41; index += 4)
      save(disk, log, { entries: entries(index, index + 4, 1, 100) });
    const old = pathsOf(disk).map((path) => ({ path, content: disk.raw(path).slice() }));
    save(disk, log, { hardState: state(3, 0, peer), start: { term: 1, index: 60 } });
    save(disk, log, { entries: entries(61, 70, 3, 300) });
    const wanted = { ...contentOf(log), ...log.readRaftState() };
    log.close();
    for (const [at] of old.entries()) {
      const copy = disk.copy();
      for (const { path, content } of [old[at]!, old.at(-1)!]) copy.replace(path, content);
      const again = openLog(copy, options).log;
      expect({ ...contentOf(again), ...again.readRaftState() }).toEqual(wanted);
      expect(copy.list(folder).some((name) => old.some(({ path }) => path.endsWith(name)))).toBe(false);
    }
  });
});
