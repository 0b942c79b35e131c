import { describe, expect, test } from "bun:test";
import { Prng } from "../../src/env/prng.ts";
import { toHex } from "../../src/lib/bytes.ts";
import { crc32 } from "../../src/lib/checksum.ts";
import { ByteWriter, DecodeError } from "../../src/lib/codec.ts";
import { EntryTail } from "../../src/raftlog/entry-tail.ts";
import {
  findMagic,
  groupHeaderBytes,
  groupSeed,
  readGroupHeader,
  sealGroup,
} from "../../src/raftlog/group.ts";
import { RecordReader, writeEntry, writeHardState } from "../../src/raftlog/records.ts";
import {
  firstGroupOfName,
  isUnfinishedName,
  segmentHeaderBytes,
  segmentName,
  unfinishedName,
} from "../../src/raftlog/segment.ts";
import { TermTable } from "../../src/raftlog/term-table.ts";
import { CrashDisk } from "./crash-disk.ts";
import {
  contentOf,
  entries,
  entry,
  folder,
  openLog,
  owner,
  peer,
  print,
  save,
  seedOfRun,
  state,
} from "./log-fixture.ts";

function spaced(bytes: Uint8Array): string {
  return toHex(bytes).toUpperCase().match(/../g)!.join(" ");
}

describe("the bytes on disk are those of the examples", () => {
  const disk = new CrashDisk();
  openLog(disk, { aheadBytes: 0 }).log.close();
  const [name] = disk.list(folder) as [string];
  const bytes = disk.raw(`${folder}/${name}`);

  test("of segment.ts", () => {
    expect(name).toBe("00000000000000000001-00000000000000000001.log");
    expect(spaced(bytes.subarray(0, 60))).toBe(
      "D7 6B 67 73 02 00 00 00 00 00 00 00 00 00 00 C1 00 00 00 00 00 00 00 A1 " +
        "01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 " +
        "01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
    );
  });

  test("of a start anew: it follows group 0, and its numbers go on", () => {
    const another = new CrashDisk();
    const { log } = openLog(another, { aheadBytes: 0 });
    save(another, log, { hardState: state(7, 0, peer), entries: entries(1, 3, 6) });
    save(another, log, { start: { term: 7, index: 300 } });
    const [onlyName, ...others] = another.list(folder);
    expect(others).toEqual([]);
    expect(onlyName).toBe("00000000000000000301-00000000000000000003.log");
    const file = another.raw(`${folder}/${onlyName}`);
    expect(spaced(file.subarray(24, 85))).toBe(
      "03 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 " +
        "2D 01 00 00 00 00 00 00 07 00 00 00 00 00 00 00 " +
        "07 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00 B2 00 00 00 00 00 00 00 00",
    );
    // The hard state again, with the commit that the snapshot brings.
    expect(spaced(file.subarray(segmentHeaderBytes + 16, segmentHeaderBytes + 24))).toBe(
      "0D 00 00 00 00 00 00 00",
    );
    expect(spaced(file.subarray(segmentHeaderBytes + groupHeaderBytes))).toBe(
      "01 07 01 00 00 00 00 00 00 00 B2 AC 02",
    );
  });

  test("of group.ts", () => {
    expect(spaced(bytes.subarray(segmentHeaderBytes))).toBe(
      "D7 6B 67 72 01 00 00 00 01 00 00 00 00 00 00 00 " +
        "04 00 00 00 00 00 00 00 EB 57 C2 12 44 26 8F D9 01 00 00 00",
    );
  });

  test("of records.ts", () => {
    const writer = new ByteWriter();
    writeEntry(writer, entry(300, 3, "hi"));
    expect(spaced(writer.view())).toBe("03 03 AC 02 02 68 69");
  });
});

test("a log of format 1 is read, and goes on in format 2", () => {
  const disk = new CrashDisk();
  const { log } = openLog(disk);
  for (let index = 1; index < 60; index += 10)
    save(disk, log, { hardState: state(2, 0, peer), entries: entries(index, index + 10, 2, 300) });
  const before = { ...contentOf(log), ...log.readRaftState() };
  log.close();
  for (const name of disk.list(folder)) {
    const header = disk.raw(`${folder}/${name}`).subarray(0, segmentHeaderBytes);
    header[4] = 1;
    new DataView(header.buffer, header.byteOffset).setUint32(
      segmentHeaderBytes - 4,
      crc32(header.subarray(0, segmentHeaderBytes - 4)),
      true,
    );
  }
  const again = openLog(disk).log;
  expect({ ...contentOf(again), ...again.readRaftState() }).toEqual(before);
  const formats = disk.list(folder).map((name) => disk.raw(`${folder}/${name}`)[4]);
  expect(new Set(formats.slice(0, -1))).toEqual(new Set([1]));
  expect(formats.at(-1)).toBe(2);
});

test("names of segments are read as they are written, and others are none", () => {
  const name = segmentName(7, 2 ** 53 - 1);
  expect(firstGroupOfName(name)).toBe(2 ** 53 - 1);
  expect(isUnfinishedName(unfinishedName(name))).toBe(true);
  for (const other of ["7-1.log", `x${name}`, `${name}x`, unfinishedName(name), "LOCK"]) {
    expect(firstGroupOfName(other)).toBeUndefined();
  }
  expect(isUnfinishedName("editor.log.tmp")).toBe(false);
});

test("records that are cut or changed are refused or read as records, never as more than is there", () => {
  const writer = new ByteWriter();
  writeHardState(writer, state(300, 7, peer));
  for (const one of entries(300, 304, 2 ** 40)) writeEntry(writer, one);
  const whole = writer.copy();
  const readAll = (bytes: Uint8Array): string[] => {
    const reader = new RecordReader(bytes);
    const found: string[] = [JSON.stringify(reader.hardState)];
    while (reader.next()) found.push(print(reader.entry()));
    return found;
  };
  expect(readAll(whole)).toEqual([
    JSON.stringify(state(300, 7, peer)),
    ...entries(300, 304, 2 ** 40).map(print),
  ]);
  const prng = new Prng(seedOfRun);
  let refused = 0;
  for (let round = 0; round < 5000; round++) {
    const bytes = whole.slice(0, prng.int(1, whole.length));
    bytes[prng.int(0, bytes.length - 1)]! ^= 1 << prng.int(0, 7);
    try {
      expect(readAll(bytes).join().length).toBeLessThan(500);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(2500);
});

test("a header is found at any byte, with its own seed only", () => {
  const seed = groupSeed(owner);
  for (let at = 0; at < 70; at++) {
    const writer = new ByteWriter();
    writer.skip(at);
    writer.skip(groupHeaderBytes);
    writeEntry(writer, entry(1, 1));
    const link = sealGroup(writer, at, 2 ** 40 + 3, 99, seed);
    const bytes = writer.view();
    expect(findMagic(bytes, 0)).toBe(at);
    expect(readGroupHeader(bytes, at, seed)).toMatchObject({
      number: 2 ** 40 + 3,
      link: 99,
      headerCrc: link,
    });
    expect(readGroupHeader(bytes, at, groupSeed({ ...owner, clusterId: owner.nodeId }))).toBeUndefined();
    expect(readGroupHeader(bytes, at + 1, seed)).toBeUndefined();
  }
});

test("the tail stays within its bytes, drops the oldest first, and keeps the last one at any size", () => {
  const tail = new EntryTail(10_000);
  for (const one of entries(1, 5001, 1, 100)) {
    tail.push(one);
    expect(tail.bytes).toBeLessThanOrEqual(10_000);
  }
  expect(tail.size).toBe(33);
  expect(tail.firstIndex).toBe(4968);
  for (let index = 4968; index <= 5000; index++) expect(tail.at(index).index).toBe(index);
  tail.truncate(4990);
  tail.push(entry(4990, 2, new Uint8Array(20_000)));
  expect([tail.size, tail.firstIndex, tail.at(4990).term]).toEqual([1, 4990, 2]);
  tail.truncate(1);
  expect([tail.size, tail.bytes, tail.firstIndex]).toEqual([0, 0, undefined]);
});

test("the table of terms agrees with an array, and grows with the terms of what is not forgotten only", () => {
  const prng = new Prng(seedOfRun);
  const firstIndex = 11;
  const table = new TermTable(firstIndex, 3);
  const terms = new Map([[firstIndex - 1, 3]]);
  let first = firstIndex;
  let last = firstIndex - 1;
  let term = 3;
  let changes = new Set<number>();
  for (let round = 0; round < 2000; round++) {
    if (prng.chance(1, 20)) {
      const from = prng.int(Math.max(first, last - 30), last + 1);
      table.truncate(from);
      for (; last >= from; last--) terms.delete(last);
      term++;
    }
    table.append(++last, term);
    terms.set(last, term);
    if (prng.chance(1, 30)) {
      first = prng.int(first, last + 1);
      table.forgetBefore(first);
      changes = new Set();
    }
    for (let at = first - 1; at <= last; at++) changes.add(terms.get(at)!);
    if (table.size > changes.size) throw new Error(`SEED=${seedOfRun} round ${round}: ${table.size} changes`);
    const asked = prng.int(first - 1, last);
    if (table.term(asked) !== terms.get(asked))
      throw new Error(`SEED=${seedOfRun} round ${round}: term(${asked})`);
  }
  expect(table.size).toBeLessThanOrEqual(new Set(terms.values()).size);
});
