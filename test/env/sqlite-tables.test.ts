import { Database } from "bun:sqlite";
import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SqliteTables } from "../../src/env/sqlite-tables.ts";
import type { Row } from "../../src/env/tables.ts";
import { toUtf8 } from "../../src/lib/bytes.ts";
import { KvraftError } from "../../src/lib/error.ts";
import { buildRun } from "./build-run.ts";
import { tablesConformance } from "./tables-conformance.ts";

const folder = mkdtempSync(join(tmpdir(), "kvraft-tables-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const tables = new SqliteTables();
let files = 0;

function newPath(): string {
  return join(folder, `${++files}.run`);
}

tablesConformance("SqliteTables", () => ({ tables, path: newPath() }));

function* manyRows(count: number): IterableIterator<Row> {
  for (let at = 0; at < count; at++)
    yield { key: toUtf8(String(at).padStart(8, "0")), sequence: at, record: new Uint8Array(200).fill(at) };
}

function failureOf(run: () => unknown): KvraftError {
  try {
    run();
  } catch (error) {
    if (error instanceof KvraftError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("SqliteTables on real files", () => {
  test("reads from a folder whose name means something in a URI", () => {
    const odd = join(folder, "a b?immutable=0&x#y%41;é");
    mkdirSync(odd);
    const path = join(odd, "1.run");
    buildRun(tables, path, manyRows(3));
    const table = tables.open(path);
    expect(table.get(toUtf8("00000002"), Infinity)?.sequence).toBe(2);
    table.close();
  });

  test("opens a run again at once, since a build leaves no lock and no journal behind", () => {
    const path = newPath();
    buildRun(tables, path, manyRows(1000));
    const [one, two] = [tables.open(path), tables.open(path)];
    expect(one.forward(undefined, 5000).length).toBe(1000);
    expect(two.backward(undefined, 5000).length).toBe(1000);
    one.close();
    two.close();
    const left = [...new Bun.Glob(`${files}.run*`).scanSync(folder)];
    expect(left).toEqual([`${files}.run`]);
  });

  test("a build that fails leaves nothing behind, and says where", () => {
    const path = join(folder, "no such folder", "1.run");
    const failure = failureOf(() => buildRun(tables, path, manyRows(1)));
    expect(failure.code).toBe("IO_ERROR");
    expect(failure.message).toContain(`Cannot build run "${path}": `);
    const half = newPath();
    function* rows(): IterableIterator<Row> {
      yield* manyRows(10);
      throw new KvraftError("CORRUPTION", "Cannot read the source");
    }
    expect(failureOf(() => buildRun(tables, half, rows())).message).toBe("Cannot read the source");
    expect([...new Bun.Glob(`${files}.run*`).scanSync(folder)]).toEqual([]);
  });

  test("a run that is missing cannot be opened", () => {
    const path = newPath();
    const failure = failureOf(() => tables.open(path).get(toUtf8("k"), Infinity));
    expect(failure.code).toBe("IO_ERROR");
    expect(failure.message).toContain(path);
  });

  test("garbage, an empty file and a cut file are CORRUPTION that names the file, never an answer", () => {
    const path = newPath();
    buildRun(tables, path, manyRows(2000));
    const whole = readFileSync(path);
    const damages = [new Uint8Array(0), new Uint8Array(8192).fill(0x61), whole.subarray(0, 100)];
    for (let pages = 1; pages < whole.length / 4096; pages += 20)
      damages.push(whole.subarray(0, pages * 4096));
    for (const bytes of damages) {
      writeFileSync(path, bytes);
      const failure = failureOf(() => {
        const table = tables.open(path);
        try {
          table.forward(undefined, 5000);
        } finally {
          table.close();
        }
      });
      expect(failure.code, `${bytes.length} bytes`).toBe("CORRUPTION");
      expect(failure.message).toContain(`run "${path}": the file is damaged (`);
    }
  });

  test("damage in the middle of a file is CORRUPTION, or no row is there that was not built", () => {
    const path = newPath();
    const rows = [...manyRows(500)];
    buildRun(tables, path, rows);
    const whole = readFileSync(path);
    let errors = 0;
    for (let offset = 16; offset < whole.length; offset += 3989) {
      const bytes = Buffer.from(whole);
      bytes[offset] = bytes[offset]! ^ 0xff;
      writeFileSync(path, bytes);
      try {
        const table = tables.open(path);
        try {
          for (const row of table.forward(undefined, 5000)) expect(row).toEqual(rows[row.sequence]!);
          const row = table.get(toUtf8("00000100"), Infinity);
          if (row !== undefined) expect(row).toEqual(rows[100]!);
        } finally {
          table.close();
        }
      } catch (error) {
        expect(error).toBeInstanceOf(KvraftError);
        expect((error as KvraftError).message).toContain(path);
        errors++;
      }
    }
    expect(errors).toBeGreaterThan(0);
  });

  test("one flipped bit in a key, a sequence number or a record is CORRUPTION that names the file", () => {
    const path = newPath();
    const row = { key: toUtf8("the key"), sequence: 0x1234567890, record: toUtf8("what was written") };
    buildRun(tables, path, [row]);
    const whole = readFileSync(path);
    const places = [row.key, Uint8Array.of(0x12, 0x34, 0x56, 0x78, 0x90), row.record].flatMap((bytes) => {
      const start = whole.indexOf(bytes);
      expect(start).toBeGreaterThan(0);
      return Array.from(bytes, (_, at) => start + at);
    });
    for (const place of places) {
      for (let bit = 0; bit < 8; bit++) {
        const bytes = Buffer.from(whole);
        bytes[place] = bytes[place]! ^ (1 << bit);
        writeFileSync(path, bytes);
        const table = tables.open(path);
        const failure = failureOf(() => table.forward(undefined, 10));
        table.close();
        expect(failure.code, `bit ${bit} of byte ${place}`).toBe("CORRUPTION");
        expect(failure.message).toContain(`run "${path}": the file is damaged (the checksum of a row`);
      }
    }
  });

  test("the checksum of a row is the one that the format names", () => {
    const path = newPath();
    buildRun(tables, path, [{ key: toUtf8("k"), sequence: 7, record: Uint8Array.of(1, 3) }]);
    const database = new Database(path, { readonly: true });
    expect(database.query("SELECT checksum FROM run").get()).toEqual({ checksum: -1174353331 });
    database.close(true);
  });

  test("a build leaves nothing beside its file, also while it is under way", () => {
    const path = newPath();
    const builder = tables.begin(path);
    for (const row of manyRows(20_000)) builder.add(row);
    expect([...new Bun.Glob(`${files}.run*`).scanSync(folder)]).toEqual([`${files}.run`]);
    builder.abandon();
    expect([...new Bun.Glob(`${files}.run*`).scanSync(folder)]).toEqual([]);
  });
});
