import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BunDisk } from "../../src/env/bun-disk.ts";
import { SqliteTables } from "../../src/env/sqlite-tables.ts";
import { MemoryDisk } from "./memory-disk.ts";
import { MemoryTables } from "./memory-tables.ts";
import { eachSeed } from "./seed.ts";
import { StoreWalk } from "./store-walk.ts";

const folder = mkdtempSync(join(tmpdir(), "kvraft-model-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("a store in memory does what the model does, whatever is flushed, merged and held meanwhile", () => {
  eachSeed(50, (prng) => {
    const disk = new MemoryDisk();
    const tables = new MemoryTables(disk);
    new StoreWalk({ disk, tables }, "store", prng, () => tables.endSync()).run(800);
    expect(tables.openCount).toBe(0);
  });
});

test("a store on files does what the model does", () => {
  const env = { disk: new BunDisk(), tables: new SqliteTables() };
  eachSeed(2, (prng, seed) => new StoreWalk(env, join(folder, String(seed)), prng).run(400));
});
