import { describe, expect, test } from "bun:test";
import type { Prng } from "../../src/env/prng.ts";
import { Merge, type MergeRules } from "../../src/leveldb/merge.ts";
import { decodeRecord, foldLife } from "../../src/leveldb/record.ts";
import type { RowSource } from "../../src/leveldb/row-source.ts";
import { concatBytes, emptyBytes, fromUtf8, toHex, toUtf8 } from "../../src/lib/bytes.ts";
import { DecodeError } from "../../src/lib/codec.ts";
import { randomKey } from "./random-keys.ts";
import { compareRows, put, putBytes, type Row, tombstone } from "./rows.ts";
import { eachSeed } from "./seed.ts";

/** Rows somewhere in a larger buffer each. */
class ArraySource implements RowSource {
  bytes = emptyBytes;
  readonly keyStart = 2;
  keyEnd = 2;
  recordEnd = 2;
  sequence = 0;
  readonly #rows: readonly Row[];
  #at = -1;

  constructor(rows: readonly Row[]) {
    this.#rows = rows;
    this.advance();
  }

  get isValid(): boolean {
    return this.#at < this.#rows.length;
  }

  advance(): void {
    const row = this.#rows[++this.#at];
    if (row === undefined) return;
    this.bytes = concatBytes([new Uint8Array(2), row.key, row.record, new Uint8Array(1)]);
    this.keyEnd = 2 + row.key.length;
    this.recordEnd = this.keyEnd + row.record.length;
    this.sequence = row.sequence;
  }
}

/** Only the present is read. */
const present: MergeRules = { isBottom: false, historyFloor: Infinity };
const bottom: MergeRules = { isBottom: true, historyFloor: Infinity };

function merged(newestFirst: readonly (readonly Row[])[], rules: MergeRules): Row[] {
  const merge = new Merge(
    newestFirst.map((rows) => new ArraySource(rows)),
    rules,
  );
  const out: Row[] = [];
  const sink = {
    add(bytes: Uint8Array, keyStart: number, keyEnd: number, recordEnd: number, sequence: number) {
      out.push({ key: bytes.slice(keyStart, keyEnd), record: bytes.slice(keyEnd, recordEnd), sequence });
    },
  };
  while (!merge.isDone) {
    const key = merge.nextKey();
    const before = out.length;
    merge.step(sink);
    for (const row of out.slice(before)) expect(row.key).toEqual(key!);
  }
  expect(merge.nextKey()).toBeUndefined();
  return out;
}

/** Rows in short: "a5" is a put, "a5-" a tombstone, with "*" when complete, and created+count behind. */
function show(rows: readonly Row[]): string[] {
  return rows.map(({ key, sequence, record }) => {
    const decoded = decodeRecord(record);
    const name = `${fromUtf8(key)}${sequence}`;
    return decoded.isTombstone
      ? `${name}-`
      : `${name}${decoded.isComplete ? "*" : ""} ${decoded.created}+${decoded.count}`;
  });
}

describe("a merge", () => {
  test("makes one ordered stream of many, and keeps the newest version of a key", () => {
    const newest = [put("a", 9), put("c", 8)];
    const middle = [put("b", 5)];
    const oldest = [put("a", 1), put("b", 2), put("d", 3)];
    expect(show(merged([newest, middle, [], oldest], present))).toEqual([
      "a9 1+2",
      "b5 2+2",
      "c8 8+1",
      "d3 3+1",
    ]);
    expect(merged([], present)).toEqual([]);
  });

  test("at the bottom counts become absolute and tombstones go", () => {
    const layers = [
      [put("a", 9), tombstone("b", 8), put("d", 7)],
      [put("a", 1), put("b", 2), tombstone("c", 3)],
    ];
    expect(show(merged(layers, bottom))).toEqual(["a9* 1+2", "d7* 7+1"]);
  });

  test("does one key a step, also one that goes", () => {
    const merge = new Merge(
      [
        new ArraySource([tombstone("b", 5)]),
        new ArraySource([tombstone("a", 1), tombstone("b", 2), put("c", 3)]),
      ],
      bottom,
    );
    let rows = 0;
    const keys: string[] = [];
    for (; !merge.isDone; merge.step({ add: () => rows++ }))
      keys.push(`${fromUtf8(merge.nextKey()!)} ${rows}`);
    expect(keys).toEqual(["a 0", "b 0", "c 0"]);
    expect(rows).toBe(1);
  });

  test("above the bottom a tombstone stays, since it hides what is below", () => {
    expect(show(merged([[tombstone("a", 9)], [put("a", 1)]], present))).toEqual(["a9-"]);
  });

  test("a put after a tombstone starts a life of its own, also above the bottom", () => {
    const layers = [[put("a", 9)], [tombstone("a", 5)], [put("a", 1)]];
    expect(show(merged(layers, present))).toEqual(["a9* 9+1"]);
  });

  test("hidden versions stay only where reads of the past see them", () => {
    const layers = [[put("a", 9)], [put("a", 7)], [tombstone("a", 5)], [put("a", 3)], [put("a", 1)]];
    const at = (historyFloor: number, isBottom: boolean) => show(merged(layers, { isBottom, historyFloor }));
    expect(at(Infinity, true)).toEqual(["a9* 7+2"]);
    expect(at(9, true)).toEqual(["a9* 7+2"]);
    expect(at(8, true)).toEqual(["a9* 7+2", "a7* 7+1"]);
    expect(at(7, true)).toEqual(["a9* 7+2", "a7* 7+1"]);
    expect(at(6, true)).toEqual(["a9* 7+2", "a7* 7+1"]);
    expect(at(6, false)).toEqual(["a9* 7+2", "a7* 7+1", "a5-"]);
    expect(at(5, false)).toEqual(["a9* 7+2", "a7* 7+1", "a5-"]);
    expect(at(4, true)).toEqual(["a9* 7+2", "a7* 7+1", "a5-", "a3* 1+2"]);
    expect(at(0, true)).toEqual(["a9* 7+2", "a7* 7+1", "a5-", "a3* 1+2", "a1* 1+1"]);
  });

  test("of two rows at one sequence number the newer layer's stays, and they count as one version", () => {
    const [row, ...rest] = merged(
      [[put("a", 5, { value: toUtf8("new") })], [put("a", 5), put("a", 2)]],
      bottom,
    );
    expect(rest).toEqual([]);
    expect(fromUtf8(decodeRecord(row!.record).value)).toBe("new");
    expect(decodeRecord(row!.record)).toMatchObject({ created: 5, count: 1 });
  });

  test("keeps keys apart that share their first bytes, or differ in zeros only", () => {
    const keys = [
      "",
      "\0",
      "\0\0\0\0\0\0\0\0",
      "\0\0\0\0\0\0\0\0\0",
      "longer than eight",
      "longer than nine",
    ];
    const layers = [0, 1, 2].map((layer) =>
      keys.filter((_, at) => at % 3 === layer).map((key) => put(key, 1)),
    );
    expect(merged(layers, present).map(({ key }) => fromUtf8(key))).toEqual(keys);
  });

  test("an older layer with a newer version, and a record that is none, are damage", () => {
    expect(() => merged([[put("a", 1)], [put("a", 2)]], present)).toThrow(DecodeError);
    expect(() => merged([[{ ...put("a", 2), record: toUtf8("none") }], [put("a", 1)]], present)).toThrow(
      DecodeError,
    );
  });
});

describe("layers as memtables write them", () => {
  test("merged at once or in any grouping give what was written, for every read that is allowed", () => {
    eachSeed(150, (prng, seed) => {
      const { layers, versions } = randomLayers(prng);
      const historyFloor = prng.pick([Infinity, 0, prng.int(0, 30)]);
      const expected = dumbMerge(versions, historyFloor);
      const atOnce = merged(layers, { isBottom: true, historyFloor });
      expect(describeRows(atOnce), `SEED=${seed}`).toEqual(expected);
      const split = prng.int(1, layers.length - 1);
      // What was merged before may have kept more.
      const earlier = prng.pick([historyFloor, 0]);
      const upper = merged(layers.slice(0, split), { isBottom: false, historyFloor: earlier });
      const lower = merged(layers.slice(split), { isBottom: prng.chance(1, 2), historyFloor: earlier });
      const inTwo = merged([upper, lower], { isBottom: true, historyFloor });
      expect(describeRows(inTwo), `SEED=${seed} split ${split}`).toEqual(expected);
    });
  });
});

interface Written {
  readonly key: string;
  readonly sequence: number;
  readonly value: string | undefined;
}

/** Layers, newest first, in which a version counts the older ones of its key, and all that was written, in order. */
function randomLayers(prng: Prng): { layers: Row[][]; versions: Written[] } {
  let sequence = 0;
  const layers: Row[][] = [];
  const versions: Written[] = [];
  const keys = Array.from({ length: 4 }, () => randomKey(prng));
  for (let count = prng.int(2, 5); count > 0; count--) {
    const byKey = new Map<string, Row[]>();
    for (let writes = prng.int(1, 12); writes > 0; writes--) {
      sequence += prng.int(0, 2);
      const key = prng.pick(keys);
      const name = toHex(key);
      const value = prng.chance(1, 4) ? undefined : `${versions.length}`;
      versions.push({ key: name, sequence, value });
      const own = byKey.get(name) ?? [];
      const row =
        value === undefined ? { ...tombstone("", sequence), key } : putOver(own.at(-1), key, sequence, value);
      if (own.at(-1)?.sequence === sequence) own.pop();
      byKey.set(name, [...own, row]);
    }
    layers.unshift([...byKey.values()].flat().sort(compareRows));
  }
  return { layers, versions };
}

function putOver(old: Row | undefined, key: Uint8Array, sequence: number, value: string): Row {
  const life = { created: sequence, count: 1, isComplete: false };
  if (old === undefined) return putBytes(key, sequence, { value: toUtf8(value) });
  const below = { ...decodeRecord(old.record), sequence: old.sequence };
  return putBytes(key, sequence, { ...foldLife(life, below), value: toUtf8(value) });
}

/** Of each key all versions with their lives, and of those the ones that a read at the floor or above finds. */
function dumbMerge(written: readonly Written[], historyFloor: number): string[] {
  const lines: string[] = [];
  for (const key of [...new Set(written.map((one) => one.key))].sort()) {
    let life: { created: number; count: number; last: number } | undefined;
    const versions: { sequence: number; line: string | undefined }[] = [];
    for (const { sequence, value } of written.filter((one) => one.key === key)) {
      if (versions.at(-1)?.sequence === sequence) versions.pop();
      if (value === undefined) life = undefined;
      else {
        const isSame = life?.last === sequence;
        life = {
          created: life?.created ?? sequence,
          count: (life?.count ?? 0) + (isSame ? 0 : 1),
          last: sequence,
        };
      }
      const line =
        life === undefined
          ? `${key} ${sequence} -`
          : `${key} ${sequence} ${life.created}+${life.count} ${value}`;
      versions.push({ sequence, line });
    }
    const kept = versions.filter(
      (_, at) => at === versions.length - 1 || versions[at + 1]!.sequence > historyFloor,
    );
    while (kept[0]?.line?.endsWith("-")) kept.shift();
    lines.push(...kept.toReversed().map(({ line }) => line!));
  }
  return lines;
}

function describeRows(rows: readonly Row[]): string[] {
  return rows.map(({ key, sequence, record }) => {
    const { isTombstone, isComplete, created, count, value } = decodeRecord(record);
    expect(isComplete).toBe(true);
    return `${toHex(key)} ${sequence} ${isTombstone ? "-" : `${created}+${count} ${fromUtf8(value)}`}`;
  });
}
