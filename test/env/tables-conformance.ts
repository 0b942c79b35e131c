/** What every Tables must do: the same questions to it and to a sorted array. */
import { describe, expect, test } from "bun:test";
import { Prng } from "../../src/env/prng.ts";
import type { Position, Row, Table, Tables } from "../../src/env/tables.ts";
import { type Bytes, compareBytes, equalBytes, toUtf8 } from "../../src/lib/bytes.ts";
import { KvraftError } from "../../src/lib/error.ts";
import { buildRun } from "./build-run.ts";

interface Place {
  readonly tables: Tables;
  readonly path: string;
  /** For tables whose syncs end when they are told to. */
  readonly endSync?: () => void;
}

/** `place` makes a Tables and a path to build at, each time another. */
export function tablesConformance(name: string, place: () => Place): void {
  describe(name, () => {
    test("gives back one row, and nothing beside it", () => {
      const row = { key: toUtf8("k"), sequence: 7, record: toUtf8("r") };
      const table = built(place(), [row]);
      expect(table.get(row.key, Infinity)).toEqual(row);
      expect(table.get(row.key, 7)).toEqual(row);
      expect(table.get(row.key, 6)).toBeUndefined();
      expect(table.get(toUtf8("j"), Infinity)).toBeUndefined();
      expect(table.get(toUtf8("kk"), Infinity)).toBeUndefined();
      expect(table.forward(undefined, 10)).toEqual([row]);
      expect(table.backward(undefined, 10)).toEqual([row]);
      table.close();
    });

    test("takes the empty key, the empty record and the largest sequence number", () => {
      const row = { key: new Uint8Array(0), sequence: Number.MAX_SAFE_INTEGER, record: new Uint8Array(0) };
      const table = built(place(), [row]);
      expect(table.get(row.key, Infinity)).toEqual(row);
      expect(table.versions(row.key, Infinity)).toEqual([row]);
      expect(table.forward({ key: row.key, sequence: Infinity }, 1)).toEqual([row]);
      expect(table.forward({ key: row.key, sequence: Number.MAX_SAFE_INTEGER }, 1)).toEqual([]);
      expect(table.backward({ key: row.key, sequence: -1 }, 1)).toEqual([row]);
      table.close();
    });

    test("replaces what an interrupted build has left at the path", () => {
      const { tables, path } = place();
      buildRun(tables, path, [{ key: toUtf8("old"), sequence: 1, record: toUtf8("1") }]);
      const row = { key: toUtf8("new"), sequence: 2, record: toUtf8("2") };
      const table = built({ tables, path }, [row]);
      expect(table.forward(undefined, 10)).toEqual([row]);
      table.close();
    });

    test("tells when a run is durable, and never before finish returns", async () => {
      const { tables, path, endSync } = place();
      const rows = randomRows(new Prng(3), 50);
      const builder = tables.begin(path);
      for (const row of rows) builder.add(row);
      let hasReturned = false;
      const told = new Promise<boolean>((resolve, reject) => {
        builder.finish((error) => (error === undefined ? resolve(hasReturned) : reject(error)));
      });
      hasReturned = true;
      endSync?.();
      expect(await told).toBe(true);
      const table = tables.open(path);
      expect(table.forward(undefined, 100)).toEqual(rows);
      table.close();
    });

    test("does not tell those who would not wait, or gave up", async () => {
      const places = [place(), place(), place()];
      const rows = randomRows(new Prng(4), 50);
      const told: string[] = [];
      const builders = places.map(({ tables, path }, at) => {
        const builder = tables.begin(path);
        for (const row of rows) builder.add(row);
        builder.finish(() => told.push(String(at)));
        return builder;
      });
      builders[0]!.finishNow();
      builders[1]!.abandon();
      for (const { endSync } of places) endSync?.();
      while (!told.includes("2")) await Bun.sleep(1);
      await Bun.sleep(5);
      expect(told).toEqual(["2"]);
      const table = places[0]!.tables.open(places[0]!.path);
      expect(table.forward(undefined, 100)).toEqual(rows);
      table.close();
      expect(() => places[1]!.tables.open(places[1]!.path).forward(undefined, 1)).toThrow(KvraftError);
    });

    test("answers like a sorted array: points, versions, and pages both ways", () => {
      const { SEED: seed = "42" } = process.env;
      const prng = new Prng(Number(seed));
      for (let round = 0; round < 6; round++) {
        const rows = randomRows(prng, prng.pick([1, 5, 60]));
        const table = built(place(), rows);
        for (let question = 0; question < 150; question++)
          ask(table, rows, prng, `SEED=${seed} round ${round}`);
        table.close();
      }
    });

    test("reads all rows in pages, in either direction", () => {
      const rows = randomRows(new Prng(7), 100);
      const table = built(place(), rows);
      for (const most of [1, 2, 7, 1000]) {
        expect(pages((at) => table.forward(at, most))).toEqual(rows);
        expect(pages((at) => table.backward(at, most))).toEqual(rows.toReversed());
      }
      table.close();
    });
  });
}

function built({ tables, path }: { tables: Tables; path: string }, rows: Iterable<Row>): Table {
  buildRun(tables, path, rows);
  return tables.open(path);
}

function pages(read: (at: Position | undefined) => Row[]): Row[] {
  const all: Row[] = [];
  for (let page = read(undefined); page.length > 0; page = read(page[page.length - 1])) all.push(...page);
  return all;
}

function ask(table: Table, rows: readonly Row[], prng: Prng, where: string): void {
  const key = randomKey(prng);
  const sequence = prng.pick([-1, Infinity, prng.int(0, 12)]);
  const most = prng.int(1, 8);
  const versions = rows.filter((row) => equalBytes(row.key, key) && row.sequence <= sequence);
  expect(table.get(key, sequence), where).toEqual(versions[0]);
  expect(table.versions(key, sequence), where).toEqual(versions);
  const at = { key, sequence };
  const after = rows.filter((row) => order(row, at) > 0);
  const before = rows.filter((row) => order(row, at) < 0).reverse();
  expect(table.forward(at, most), where).toEqual(after.slice(0, most));
  expect(table.backward(at, most), where).toEqual(before.slice(0, most));
}

function order(a: Position, b: Position): number {
  const keys = compareBytes(a.key, b.key);
  if (keys !== 0) return keys;
  return a.sequence === b.sequence ? 0 : a.sequence > b.sequence ? -1 : 1;
}

function randomKey(prng: Prng): Bytes {
  return Uint8Array.from({ length: prng.int(0, 2) }, () => prng.pick([0, 1, 0x7f, 0x80, 0xff]));
}

function randomRows(prng: Prng, count: number): Row[] {
  const rows = new Map<string, Row>();
  while (rows.size < count) {
    const row = { key: randomKey(prng), sequence: prng.int(0, 12), record: randomKey(prng) };
    rows.set(`${row.key} ${row.sequence}`, row);
  }
  return [...rows.values()].sort(order);
}
