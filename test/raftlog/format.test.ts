import { describe, expect, test } from "bun:test";
import { Prng } from "../../src/env/prng.ts";
import { toHex } from "../../src/lib/bytes.ts";
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
import { entries, entry, folder, openLog, owner, peer, print, seedOfRun, state } from "./log-fixture.ts";

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
      "D7 6B 67 73 01 00 00 00 00 00 00 00 00 00 00 C1 00 00 00 00 00 00 00 A1 " +
        "01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 " +
        "01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
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

test("the table of terms agrees with an array, and grows with the terms only", () => {
  const prng = new Prng(seedOfRun);
  const firstIndex = 11;
  const table = new TermTable(firstIndex, 3);
  const terms = new Map([[firstIndex - 1, 3]]);
  let last = firstIndex - 1;
  let term = 3;
  for (let round = 0; round < 2000; round++) {
    if (prng.chance(1, 20)) {
      const from = prng.int(Math.max(firstIndex, last - 30), last + 1);
      table.truncate(from);
      for (; last >= from; last--) terms.delete(last);
      term++;
    }
    table.append(++last, term);
    terms.set(last, term);
    const asked = prng.int(firstIndex - 1, last);
    if (table.term(asked) !== terms.get(asked))
      throw new Error(`SEED=${seedOfRun} round ${round}: term(${asked})`);
  }
  expect(table.size).toBeLessThanOrEqual(new Set(terms.values()).size);
});
