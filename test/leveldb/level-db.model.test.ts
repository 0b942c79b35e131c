import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Prng } from "../../src/env/prng.ts";
import { realEnv } from "../../src/env/real-env.ts";
import { MemoryDisk } from "./memory-disk.ts";
import { MemoryTables } from "./memory-tables.ts";
import { MemoryWorkers } from "./memory-workers.ts";
import { eachSeedLater } from "./seed.ts";
import { StoreWalk } from "./store-walk.ts";

const folder = mkdtempSync(join(tmpdir(), "kvraft-model-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("a store in memory does what the model does, whatever is flushed, merged and held meanwhile", async () => {
  let merges = 0;
  await eachSeedLater(60, async (prng) => {
    const disk = new MemoryDisk();
    const tables = new MemoryTables(disk);
    const workers = new MemoryWorkers({ disk, tables: new MemoryTables(disk) });
    const work = () => {
      for (let slices = prng.pick([1, 1, 2, 5, 30]); slices > 0; slices--) workers.step();
    };
    const walk = new StoreWalk({ disk, tables, workers }, "store", prng, work);
    await walk.run(700);
    expect(tables.openCount).toBe(0);
    merges += walk.lines.filter((line) => line.startsWith("Merged")).length;
  });
  expect(merges).toBeGreaterThan(process.env["SEED"] === undefined ? 500 : 0);
});

test("a store on files, with a worker in a thread, does what the model does", async () => {
  await eachSeedLater(4, async (prng, seed) => {
    // The walk does not depend on how far the worker is: it takes chances of its own.
    const pauses = new Prng(seed);
    const work = () => Bun.sleep(pauses.pick([0, 0, 1, 5]));
    await new StoreWalk(realEnv(), join(folder, String(seed)), prng, work).run(500);
  });
});
