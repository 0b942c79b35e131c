import { describe, expect, test } from "bun:test";
import type { Prng } from "../../src/env/prng.ts";
import type { Row } from "../../src/env/tables.ts";
import { mergeRows } from "../../src/leveldb/merge.ts";
import { pickMerge } from "../../src/leveldb/merge-policy.ts";
import {
  decodeRecord,
  encodeRecord,
  foldLife,
  type StoredRecord,
  tombstoneRecord,
} from "../../src/leveldb/record.ts";
import { emptyBytes, fromUtf8, toUtf8 } from "../../src/lib/bytes.ts";
import { DecodeError } from "../../src/lib/codec.ts";
import { eachSeed } from "./seed.ts";

function put(key: string, sequence: number, life: Partial<StoredRecord> = {}): Row {
  const record = {
    isTombstone: false,
    isComplete: false,
    created: sequence,
    count: 1,
    lease: 0,
    expiry: 0,
    value: toUtf8(`${key}${sequence}`),
    ...life,
  };
  return { key: toUtf8(key), sequence, record: encodeRecord(record) };
}

function tombstone(key: string, sequence: number): Row {
  return { key: toUtf8(key), sequence, record: tombstoneRecord };
}

/** Without the pauses of a merge. */
function present(rows: Iterable<Row | undefined>): Row[] {
  return [...rows].filter((row) => row !== undefined);
}

/** Rows in short: "a5" is a put, "a5-" a tombstone, with "*" when complete, and created+count behind. */
function show(rows: Iterable<Row | undefined>): string[] {
  return present(rows).map((row) => {
    const record = decodeRecord(row.record);
    const name = `${fromUtf8(row.key)}${row.sequence}`;
    return record.isTombstone
      ? `${name}-`
      : `${name}${record.isComplete ? "*" : ""} ${record.created}+${record.count}`;
  });
}

describe("mergeRows", () => {
  test("makes one ordered stream of many, and keeps the newest version of a key", () => {
    const newest = [put("a", 9), put("c", 8)];
    const middle = [put("b", 5)];
    const oldest = [put("a", 1), put("b", 2), put("d", 3)];
    const merged = mergeRows([newest, middle, oldest], [], false);
    expect(show(merged)).toEqual(["a9 1+2", "b5 2+2", "c8 8+1", "d3 3+1"]);
  });

  test("at the bottom counts become absolute and tombstones go", () => {
    const merged = mergeRows(
      [
        [put("a", 9), tombstone("b", 8)],
        [put("a", 1), put("b", 2), tombstone("c", 3)],
      ],
      [],
      true,
    );
    expect(show(merged)).toEqual(["a9* 1+2"]);
  });

  test("pauses after every key, also after one that goes", () => {
    const rows = [tombstone("a", 1), tombstone("b", 2), put("c", 3)];
    const both = [tombstone("b", 5)];
    expect([...mergeRows([both, rows], [], true)].map((row) => row?.sequence)).toEqual([
      undefined,
      undefined,
      3,
    ]);
  });

  test("above the bottom a tombstone stays, since it hides what is below", () => {
    const merged = mergeRows([[tombstone("a", 9)], [put("a", 1)]], [], false);
    expect(show(merged)).toEqual(["a9-"]);
  });

  test("a put after a tombstone starts a life of its own, also above the bottom", () => {
    const merged = mergeRows([[put("a", 9)], [tombstone("a", 5)], [put("a", 1)]], [], false);
    expect(show(merged)).toEqual(["a9* 9+1"]);
  });

  test("hidden versions stay only where a kept sequence number sees them", () => {
    const layers = [[put("a", 9)], [put("a", 7)], [tombstone("a", 5)], [put("a", 3)], [put("a", 1)]];
    expect(show(mergeRows(layers, [], true))).toEqual(["a9* 7+2"]);
    expect(show(mergeRows(layers, [8], true))).toEqual(["a9* 7+2", "a7* 7+1"]);
    expect(show(mergeRows(layers, [4], true))).toEqual(["a9* 7+2", "a3* 1+2"]);
    expect(show(mergeRows(layers, [4, 6], true))).toEqual(["a9* 7+2", "a5-", "a3* 1+2"]);
    expect(show(mergeRows(layers, [6], true))).toEqual(["a9* 7+2"]);
    expect(show(mergeRows(layers, [6], false))).toEqual(["a9* 7+2", "a5-"]);
    expect(show(mergeRows(layers, [0, 9, 12], true))).toEqual(["a9* 7+2"]);
  });

  test("of two rows at one sequence number the newer layer's stays, and they count as one version", () => {
    const merged = mergeRows([[put("a", 5, { value: toUtf8("new") })], [put("a", 5), put("a", 2)]], [], true);
    const [row, ...rest] = merged;
    expect(rest).toEqual([]);
    expect(fromUtf8(decodeRecord(row!.record).value)).toBe("new");
    expect(decodeRecord(row!.record)).toMatchObject({ created: 5, count: 1 });
  });

  test("an older layer with a newer version is damage", () => {
    expect(() => [...mergeRows([[put("a", 1)], [put("a", 2)]], [], false)]).toThrow(DecodeError);
  });

  test("merging in any grouping gives what merging at once gives", () => {
    eachSeed(60, (prng, seed) => {
      const layers = randomLayers(prng);
      const kept = [prng.int(0, 30), prng.int(0, 30)].sort((a, b) => a - b);
      const atOnce = show(mergeRows(layers, kept, true));
      const split = prng.int(1, layers.length - 1);
      const upper = present(mergeRows(layers.slice(0, split), kept, false));
      const lower = present(mergeRows(layers.slice(split), kept, prng.chance(1, 2)));
      expect(show(mergeRows([upper, lower], kept, true)), `SEED=${seed}`).toEqual(atOnce);
    });
  });
});

/** Layers as a memtable would write them: in one of them a version counts the older ones of its key. */
function randomLayers(prng: Prng): Row[][] {
  let sequence = 0;
  const layers: Row[][] = [];
  for (let count = prng.int(2, 5); count > 0; count--) {
    const newest = new Map<string, Row>();
    for (let writes = prng.int(1, 10); writes > 0; writes--) {
      sequence += prng.int(0, 2);
      const key = prng.pick(["a", "b", "c"]);
      newest.set(key, prng.chance(1, 4) ? tombstone(key, sequence) : putOver(newest.get(key), key, sequence));
    }
    layers.unshift([...newest.values()].sort((a, b) => Buffer.compare(a.key, b.key)));
  }
  return layers;
}

function putOver(old: Row | undefined, key: string, sequence: number): Row {
  if (old === undefined) return put(key, sequence);
  const below = { ...decodeRecord(old.record), sequence: old.sequence, value: emptyBytes };
  return put(key, sequence, foldLife({ created: sequence, count: 1, isComplete: false }, below));
}

describe("pickMerge", () => {
  test("waits for four runs of a size", () => {
    expect(pickMerge([1, 1, 1], 10)).toBeUndefined();
    expect(pickMerge([1, 1, 1, 1], 10)).toEqual({ from: 0, to: 4 });
    expect(pickMerge([1, 1, 1, 9], 10)).toBeUndefined();
    expect(pickMerge([1, 1, 1, 1, 9], 10)).toEqual({ from: 0, to: 4 });
    expect(pickMerge([1, 9, 9, 10, 9], 10)).toEqual({ from: 0, to: 5 });
    expect(pickMerge([1, 1, 1, 1, 4, 4, 4], 10)).toEqual({ from: 0, to: 7 });
  });

  test("merges the cheapest neighbours when there are too many runs of different sizes", () => {
    expect(pickMerge([1, 10, 100, 1000], 4)).toBeUndefined();
    expect(pickMerge([1, 10, 100, 1000], 3)).toEqual({ from: 0, to: 2 });
    expect(pickMerge([1000, 10, 9, 1000], 3)).toEqual({ from: 1, to: 3 });
    expect(pickMerge([1, 10, 100, 1000], 1)).toEqual({ from: 0, to: 4 });
  });

  test("keeps the runs few and writes each row a logarithmic number of times", () => {
    let sizes: number[] = [];
    let written = 0;
    const flushes = 1000;
    for (let flush = 0; flush < flushes; flush++) {
      sizes.unshift(16);
      for (let range = pickMerge(sizes, 12); range !== undefined; range = pickMerge(sizes, 12)) {
        const total = sizes.slice(range.from, range.to).reduce((sum, size) => sum + size, 0);
        written += total;
        sizes = [...sizes.slice(0, range.from), total, ...sizes.slice(range.to)];
      }
      expect(sizes.length).toBeLessThanOrEqual(12);
    }
    expect(written / (flushes * 16)).toBeLessThan(Math.log(flushes) / Math.log(3));
  });
});
