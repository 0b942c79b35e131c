/** What every Tables must do: the same questions to it and to an array of blocks. */
import { describe, expect, test } from "bun:test";
import type { Disk } from "../../src/env/disk.ts";
import { Prng } from "../../src/env/prng.ts";
import type { Table, Tables } from "../../src/env/tables.ts";
import { type Bytes, equalBytes, toUtf8 } from "../../src/lib/bytes.ts";
import { KvraftError } from "../../src/lib/error.ts";
import { buildRun } from "./build-run.ts";

/** A Tables, the disk that its files are on, and a path to build at in a folder that exists. */
export interface TablesPlace {
  readonly tables: Tables;
  readonly disk: Disk;
  readonly path: string;
}

const largeBytes = 8 * 1024 * 1024;

/** `newPlace` makes a place with a path of its own, each time another. */
export function tablesConformance(name: string, newPlace: () => TablesPlace): void {
  describe(name, () => {
    test("gives back each block by its number, the first of which is 0, in any order and again", () => {
      const blocks = someBlocks(40);
      const table = built(newPlace(), blocks);
      const prng = new Prng(1);
      for (const at of blocks.keys()) expect(table.block(at)).toEqual(blocks[at]!);
      for (let read = 0; read < 200; read++) {
        const at = prng.int(0, blocks.length - 1);
        expect(table.block(at)).toEqual(blocks[at]!);
      }
      table.close();
    });

    test("takes an empty block, a block of one byte, and one of 8 MiB between small ones", () => {
      const large = new Uint8Array(largeBytes).map((_, at) => at * 31 + (at >> 12));
      const blocks = [new Uint8Array(0), Uint8Array.of(7), large, Uint8Array.of(8), new Uint8Array(0)];
      const table = built(newPlace(), blocks);
      for (const at of [4, 3, 2, 1, 0])
        expect(equalBytes(table.block(at), blocks[at]!), `block ${at}`).toBe(true);
      table.close();
    });

    test("takes blocks of every length around that of a page", () => {
      const blocks = Array.from({ length: 80 }, (_, at) => new Uint8Array(4040 + at).fill(at));
      const table = built(newPlace(), blocks);
      for (const at of blocks.keys()) expect(table.block(at)).toEqual(blocks[at]!);
      table.close();
    });

    test("keeps what a block was when it was added, and gives out memory that is the caller's", () => {
      const { tables, path } = newPlace();
      const builder = tables.begin(path);
      const block = toUtf8("first");
      builder.add(block);
      block.set(toUtf8("other"));
      builder.add(block);
      block.fill(0);
      builder.finish();
      const table = tables.open(path);
      const read = table.block(0);
      expect(read).toEqual(toUtf8("first"));
      read.fill(0);
      const later = table.block(1);
      expect(table.block(0)).toEqual(toUtf8("first"));
      table.close();
      expect(later).toEqual(toUtf8("other"));
    });

    test("says CORRUPTION, with the file's name, for a block that is not there", () => {
      const place = newPlace();
      const table = built(place, someBlocks(3));
      for (const number of [3, 4, 2 ** 31, 2 ** 40]) {
        const failure = failureOf(() => table.block(number));
        expect(failure.code, `block ${number}`).toBe("CORRUPTION");
        expect(failure.message).toContain(place.path);
      }
      expect(table.block(2)).toEqual(someBlocks(3)[2]!);
      table.close();
    });

    test("opens the same file more than once, each to be closed by itself", () => {
      const place = newPlace();
      const one = built(place, someBlocks(5));
      const two = place.tables.open(place.path);
      one.close();
      expect(two.block(4)).toEqual(someBlocks(5)[4]!);
      two.close();
    });

    test("replaces a whole file, half of one, and garbage that an interrupted build has left at the path", () => {
      const place = newPlace();
      buildRun(place.tables, place.path, someBlocks(30));
      const whole = place.disk.read(place.path)!;
      for (const left of [
        whole,
        whole.subarray(0, whole.length >> 1),
        toUtf8("garbage"),
        new Uint8Array(0),
      ]) {
        replaceFile(place, left);
        const table = built(place, [toUtf8("new")]);
        expect(table.block(0)).toEqual(toUtf8("new"));
        expect(failureOf(() => table.block(1)).code).toBe("CORRUPTION");
        table.close();
      }
    });

    test("an abandoned build leaves nothing, however far it has come, and may be abandoned twice", () => {
      for (const blocks of [0, 1, 2000]) {
        const { tables, disk, path } = newPlace();
        const builder = tables.begin(path);
        for (const block of someBlocks(blocks)) builder.add(block);
        builder.abandon();
        builder.abandon();
        expect(namesBeside(disk, path), `${blocks} blocks`).toEqual([]);
        expect(() => tables.open(path)).toThrow(KvraftError);
      }
    });

    test("leaves no file beside its own, neither while it builds nor after", () => {
      const { tables, disk, path } = newPlace();
      const builder = tables.begin(path);
      for (const block of someBlocks(2000)) builder.add(block);
      expect(namesBeside(disk, path).slice(1)).toEqual([]);
      builder.finish();
      expect(namesBeside(disk, path)).toEqual([nameOf(path)]);
      tables.open(path).close();
      expect(namesBeside(disk, path)).toEqual([nameOf(path)]);
    });

    test("a file that is missing cannot be opened, and the failure names it", () => {
      const { tables, disk, path } = newPlace();
      const failure = failureOf(() => tables.open(path));
      expect(failure.code).toBe("IO_ERROR");
      expect(failure.message).toContain(path);
      expect(disk.exists(path)).toBe(false);
    });

    test("garbage, an empty file and a file that was cut are CORRUPTION where the cut has hit, never a crash", () => {
      const place = newPlace();
      const blocks = someBlocks(60);
      buildRun(place.tables, place.path, blocks);
      const whole = place.disk.read(place.path)!;
      const step = Math.max(1, Math.floor(whole.length / 23));
      const damages: Bytes[] = [new Uint8Array(0), new Uint8Array(8192).fill(0x61)];
      for (let length = 1; length < whole.length; length += step) damages.push(whole.subarray(0, length));
      for (const bytes of damages) {
        replaceFile(place, bytes);
        const outcome = readAll(place, blocks);
        expect(outcome.codes, `${bytes.length} bytes`).toEqual(new Set(["CORRUPTION"]));
        expect(outcome.others, `${bytes.length} bytes`).toBe(0);
      }
    });

    test("damage in the middle is CORRUPTION or other bytes, and the rest can still be read or is refused", () => {
      const place = newPlace();
      const blocks = someBlocks(60);
      buildRun(place.tables, place.path, blocks);
      const whole = place.disk.read(place.path)!;
      const step = Math.max(1, Math.floor(whole.length / 150));
      let seen = 0;
      for (let offset = 0; offset < whole.length; offset += step) {
        const bytes = whole.slice();
        bytes[offset]! ^= 0xff;
        replaceFile(place, bytes);
        const { codes, others } = readAll(place, blocks);
        expect([...codes].filter((code) => code !== "CORRUPTION")).toEqual([]);
        if (codes.size > 0 || others > 0) seen++;
      }
      expect(seen).toBeGreaterThan(0);
    });
  });
}

/** Blocks of many lengths, each with bytes of its own. */
export function someBlocks(count: number): Bytes[] {
  return Array.from(
    { length: count },
    (_, at): Bytes => new Uint8Array((at * 977) % 5000).map((__, place) => at * 7 + place),
  );
}

export function failureOf(run: () => unknown): KvraftError {
  try {
    run();
  } catch (error) {
    if (error instanceof KvraftError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

function built({ tables, path }: TablesPlace, blocks: Iterable<Bytes>): Table {
  buildRun(tables, path, blocks);
  return tables.open(path);
}

/** With what codes reading has failed, and how many blocks were others than those that were written. */
function readAll(
  { tables, path }: TablesPlace,
  blocks: readonly Bytes[],
): { codes: Set<string>; others: number } {
  const codes = new Set<string>();
  let others = 0;
  let table: Table | undefined;
  try {
    table = tables.open(path);
  } catch (error) {
    codes.add(codeOf(error));
  }
  for (const [at, block] of table === undefined ? [] : blocks.entries())
    try {
      if (!equalBytes(table!.block(at), block)) others++;
    } catch (error) {
      codes.add(codeOf(error));
    }
  table?.close();
  return { codes, others };
}

function codeOf(error: unknown): string {
  if (error instanceof KvraftError) return error.code;
  throw error;
}

function replaceFile({ disk, path }: TablesPlace, bytes: Bytes): void {
  disk.remove(path);
  const file = disk.open(path, "create");
  if (bytes.length > 0) file.write(0, bytes);
  file.close();
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** What stands in the folder under the file's name or one that begins with it. */
function namesBeside(disk: Disk, path: string): string[] {
  return disk.list(path.slice(0, path.lastIndexOf("/"))).filter((name) => name.startsWith(nameOf(path)));
}
