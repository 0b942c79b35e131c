import { Database } from "bun:sqlite";
import { afterAll, describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BunDisk } from "../../src/env/bun-disk.ts";
import { Prng } from "../../src/env/prng.ts";
import { SqliteTables } from "../../src/env/sqlite-tables.ts";
import { pageBlockBytes } from "../../src/env/tables.ts";
import { type Bytes, fromUtf8, toUtf8 } from "../../src/lib/bytes.ts";
import { KvraftError } from "../../src/lib/error.ts";
import { buildRun } from "./build-run.ts";
import { failureOf, someBlocks, tablesConformance } from "./tables-conformance.ts";

const folder = mkdtempSync(join(tmpdir(), "kvraft-tables-"));
const tables = new SqliteTables();
const disk = new BunDisk();
const sources = join(import.meta.dir, "../../src");
let files = 0;

function newPath(): string {
  return join(folder, `${++files}.run`);
}

tablesConformance("SqliteTables", () => ({ tables, disk, path: newPath() }));

/** Open descriptors of files below a path, as far as the system tells. */
function descriptorsBelow(path: string): string[] {
  return readdirSync("/proc/self/fd").flatMap((descriptor) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${descriptor}`);
      return target.startsWith(path) ? [target] : [];
    } catch {
      return [];
    }
  });
}

/** Runs code in a process of its own, whose files may have so many blocks of 1024 bytes. Returns what it prints. */
function runLimited(blocks: number, code: string): string {
  const script = join(folder, `limited-${++files}.ts`);
  writeFileSync(
    script,
    `import { BunDisk } from ${JSON.stringify(join(sources, "env/bun-disk.ts"))};
import { SqliteTables } from ${JSON.stringify(join(sources, "env/sqlite-tables.ts"))};
const [tables, disk] = [new SqliteTables(), new BunDisk()];
${code}`,
  );
  const shell = `trap '' XFSZ; ulimit -f ${blocks}; exec "$0" "$1"`;
  return execFileSync("bash", ["-c", shell, process.execPath, script], { encoding: "utf8" }).trim();
}

/** Runs code in a process of its own, with a file of 2,000 blocks at `path`. Returns the number that it prints. */
function measured(code: string): number {
  const path = newPath();
  const blocks = Array.from({ length: 2000 }, () => new Uint8Array(pageBlockBytes));
  buildRun(tables, path, blocks);
  const script = join(folder, `measured-${++files}.ts`);
  writeFileSync(
    script,
    `import { SqliteTables } from ${JSON.stringify(join(sources, "env/sqlite-tables.ts"))};
const [tables, path] = [new SqliteTables(), ${JSON.stringify(path)}];
const mebibytes = () => process.memoryUsage().rss / 1024 / 1024;
${code}`,
  );
  return Number(execFileSync(process.execPath, [script], { encoding: "utf8" }));
}

/** A file system of its own, of this size; undefined where that takes rights we do not have. */
function mountTmpfs(size: string): string | undefined {
  const place = join(folder, `small-${++files}`);
  mkdirSync(place);
  const mounted = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", `size=${size}`, "tmpfs", place]);
  return mounted.exitCode === 0 ? place : undefined;
}

const smallDisk = mountTmpfs("1m");
afterAll(() => {
  if (smallDisk !== undefined) Bun.spawnSync(["umount", "-l", smallDisk]);
  rmSync(folder, { recursive: true, force: true });
});
if (smallDisk === undefined) process.stdout.write("Skipped: a full disk; mounting a tmpfs takes root\n");

describe("SqliteTables on real files", () => {
  test("reads from a folder whose name means something in a URI", () => {
    const odd = join(folder, "a b?immutable=0&x#y%41;é");
    mkdirSync(odd);
    const path = join(odd, "1.run");
    buildRun(tables, path, someBlocks(3));
    const table = tables.open(path);
    expect(table.block(2)).toEqual(someBlocks(3)[2]!);
    table.close();
  });

  test("a file is a SQLite database with one table of blocks by number, one page for each", () => {
    const path = newPath();
    const blocks = Array.from({ length: 50 }, (_, at) => new Uint8Array(pageBlockBytes).fill(at));
    buildRun(tables, path, blocks);
    const database = new Database(path, { readonly: true });
    expect(database.query("SELECT number, length(bytes) AS bytes FROM block").all()).toEqual(
      blocks.map((_, number) => ({ number, bytes: pageBlockBytes })),
    );
    expect(database.query("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
    // The schema, an inner page, and a page for each block; one more for a spill would cost a read each.
    expect(database.query("PRAGMA page_count").get()).toEqual({ page_count: blocks.length + 2 });
    database.close(true);
  });

  test("a build that fails says where, and leaves nothing behind", () => {
    const path = join(folder, "no such folder", "1.run");
    const failure = failureOf(() => buildRun(tables, path, someBlocks(1)));
    expect(failure.code).toBe("IO_ERROR");
    expect(failure.message).toContain(`Cannot build run "${path}": `);
    const half = newPath();
    function* broken(): IterableIterator<Bytes> {
      yield* someBlocks(10);
      throw new KvraftError("CORRUPTION", "Cannot read the source");
    }
    expect(failureOf(() => buildRun(tables, half, broken())).message).toBe("Cannot read the source");
    expect([...new Bun.Glob(`${files}.run*`).scanSync(folder)]).toEqual([]);
  });

  test.if(process.platform === "linux")(
    "nothing stays open: not after a build, an abandoned one, one that failed, a close, or an open of garbage",
    () => {
      const path = newPath();
      const builder = tables.begin(path);
      builder.add(toUtf8("x"));
      expect(descriptorsBelow(path).length).toBeGreaterThan(0);
      builder.finish();
      expect(descriptorsBelow(path)).toEqual([]);
      const table = tables.open(path);
      table.block(0);
      expect(descriptorsBelow(path).length).toBeGreaterThan(0);
      table.close();
      expect(descriptorsBelow(path)).toEqual([]);
      const other = newPath();
      const abandoned = tables.begin(other);
      for (const block of someBlocks(2000)) abandoned.add(block);
      abandoned.abandon();
      expect(descriptorsBelow(other)).toEqual([]);
      const garbage = newPath();
      for (const bytes of [new Uint8Array(0), new Uint8Array(8192).fill(1)]) {
        writeFileSync(garbage, bytes);
        expect(failureOf(() => tables.open(garbage).block(0)).code).toBe("CORRUPTION");
        expect(descriptorsBelow(garbage)).toEqual([]);
      }
    },
  );

  test("a file that was built is locked by nobody, and neither is one that is read", () => {
    const path = newPath();
    buildRun(tables, path, someBlocks(2000));
    const table = tables.open(path);
    table.block(7);
    const database = new Database(path, { readwrite: true });
    database.run("BEGIN EXCLUSIVE");
    database.run("ROLLBACK");
    database.close(true);
    table.close();
  });

  test.if(smallDisk !== undefined)(
    "a full disk is NO_SPACE, whether while blocks come or at the end, and gives back what the file took",
    () => {
      const path = join(smallDisk!, "1.run");
      for (const blockBytes of [100, 4000, 300_000]) {
        const block = new Uint8Array(blockBytes).fill(1);
        const failure = failureOf(() =>
          buildRun(
            tables,
            path,
            Array.from({ length: Math.ceil(8_000_000 / blockBytes) }, () => block),
          ),
        );
        expect(failure.code, `blocks of ${blockBytes} bytes: ${failure.message}`).toBe("NO_SPACE");
        expect(failure.message).toContain(path);
        expect(readdirSync(smallDisk!)).toEqual([]);
      }
      buildRun(tables, path, someBlocks(50));
      rmSync(path);
    },
  );

  test.if(smallDisk !== undefined)("a disk with no room at all refuses the beginning of a file", () => {
    const filler = join(smallDisk!, "filler");
    expect(() => writeFileSync(filler, new Uint8Array(4_000_000))).toThrow();
    const failure = failureOf(() => buildRun(tables, join(smallDisk!, "2.run"), someBlocks(3)));
    expect(["NO_SPACE", "IO_ERROR"]).toContain(failure.code);
    expect(readdirSync(smallDisk!)).toEqual(["filler"]);
    rmSync(filler);
  });

  test("a file that may not grow is an error of the environment that names it, and nothing of it stays", () => {
    const path = newPath();
    const told = runLimited(
      200,
      `const builder = tables.begin(${JSON.stringify(path)});
try {
  for (let at = 0; at < 1000; at++) builder.add(new Uint8Array(4000).fill(at));
  builder.finish();
} catch (error) {
  console.log(error.code, error.message);
  builder.abandon();
}`,
    );
    expect(told.trim()).toBe(`IO_ERROR Cannot build run "${path}": disk I/O error (SQLITE_IOERR_WRITE)`);
    expect([...new Bun.Glob(`${path.split("/").at(-1)}*`).scanSync(folder)]).toEqual([]);
  });

  test("a table of another shape is CORRUPTION, whatever its blocks are", () => {
    const shapes = [
      "CREATE TABLE other (number INTEGER PRIMARY KEY, bytes BLOB)",
      "CREATE TABLE block (place INTEGER PRIMARY KEY, bytes BLOB)",
      "CREATE TABLE block (number INTEGER PRIMARY KEY, bytes); INSERT INTO block VALUES (0, 'text')",
      "CREATE TABLE block (number INTEGER PRIMARY KEY, bytes); INSERT INTO block VALUES (0, 12)",
      "CREATE TABLE block (number INTEGER PRIMARY KEY, bytes); INSERT INTO block VALUES (0, NULL)",
    ];
    for (const shape of shapes) {
      const path = newPath();
      const database = new Database(path);
      for (const statement of shape.split("; ")) database.run(statement);
      database.close(true);
      const failure = failureOf(() => {
        const table = tables.open(path);
        try {
          table.block(0);
        } finally {
          table.close();
        }
      });
      expect(failure.code, shape).toBe("CORRUPTION");
      expect(failure.message).toContain(`run "${path}": the file is damaged (`);
    }
  });
});

describe("memory", () => {
  test("hundreds of files that were opened and not read take little of it", () => {
    const grown = measured(`
const open = () => {
  const table = tables.open(path);
  for (const number of [1999, 1998]) table.block(number);
  return table;
};
open().close();
const before = mebibytes();
const kept = Array.from({ length: 200 }, open);
console.log(kept.length === 200 ? mebibytes() - before : NaN);`);
    // 77 KiB each, and what the process itself takes: 23 MiB. With the cache that SQLite would begin with, 38.
    expect(grown).toBeLessThan(30);
  });

  test("what was read is collected soon by a loop that turns, however large the heap is beside it", () => {
    const grown = measured(`
const memtables = Array.from({ length: 192 }, () => new Uint8Array(new SharedArrayBuffer(1024 * 1024)).fill(1));
const table = tables.open(path);
const before = mebibytes();
let most = 0;
for (let reads = 0; reads < 100_000; reads++) {
  table.block((reads * 7919) % 2000);
  if (reads % 100 !== 0) continue;
  await new Promise((resolve) => setImmediate(resolve));
  most = Math.max(most, mebibytes() - before);
}
console.log(memtables.length === 192 ? most : NaN);`);
    // 39 MiB; left alone 110 to 140.
    expect(grown).toBeLessThan(80);
  });
});

describe("files that are open", () => {
  test("are at most as many as allowed, and every table can be read all the same", () => {
    const some = new SqliteTables(3);
    const place = join(folder, `${++files}-open`);
    mkdirSync(place);
    const opened = Array.from({ length: 12 }, (_, at) => {
      const path = join(place, `${at}.run`);
      buildRun(some, path, [toUtf8(`first of ${at}`), toUtf8(`second of ${at}`)]);
      return some.open(path);
    });
    expect(descriptorsBelow(place)).toHaveLength(3);
    const prng = new Prng(1);
    for (let read = 0; read < 300; read++) {
      const at = prng.int(0, 11);
      expect(fromUtf8(opened[at]!.block(1))).toBe(`second of ${at}`);
      expect(descriptorsBelow(place).length).toBeLessThanOrEqual(3);
    }
    for (const table of opened) table.close();
    expect(descriptorsBelow(place)).toEqual([]);
  });

  test("are those that were read last", () => {
    const some = new SqliteTables(2);
    const place = join(folder, `${++files}-last`);
    mkdirSync(place);
    const [one, two, three] = ["one", "two", "three"].map((name) => {
      buildRun(some, join(place, name), [toUtf8(name)]);
      return some.open(join(place, name));
    });
    one!.block(0);
    expect(descriptorsBelow(place).sort()).toEqual([join(place, "one"), join(place, "three")]);
    two!.block(0);
    expect(descriptorsBelow(place).sort()).toEqual([join(place, "one"), join(place, "two")]);
    for (const table of [one, two, three]) table!.close();
  });

  test("make room when the system has no descriptor left, for a table and for one that is built", () => {
    const path = join(folder, `${++files}-few`);
    mkdirSync(path);
    const printed = runWithDescriptors(
      64,
      `import { openSync } from "node:fs";
const place = ${JSON.stringify(path)};
const tables = new SqliteTables(40);
const build = (name) => {
  const builder = tables.begin(place + "/" + name);
  builder.add(new TextEncoder().encode(name));
  builder.finish();
};
const names = Array.from({ length: 30 }, (_, at) => "t" + at);
for (const name of names) build(name);
const opened = names.map((name) => tables.open(place + "/" + name));
try { for (;;) openSync("/dev/null", "r"); } catch {}
build("late");
const late = tables.open(place + "/late");
const read = [late, ...opened].map((table) => new TextDecoder().decode(table.block(0)));
console.log(read.join() === ["late", ...names].join());`,
    );
    expect(printed).toBe("true");
  });
});

/** Runs code in a process of its own, which may open so many files. Returns what it prints. */
function runWithDescriptors(count: number, code: string): string {
  const script = join(folder, `few-${++files}.ts`);
  const place = JSON.stringify(join(sources, "env/sqlite-tables.ts"));
  writeFileSync(script, `import { SqliteTables } from ${place};\n${code}`);
  const shell = `ulimit -n ${count}; exec "$0" "$1"`;
  return execFileSync("bash", ["-c", shell, process.execPath, script], { encoding: "utf8" }).trim();
}
