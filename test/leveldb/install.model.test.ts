import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Prng } from "../../src/env/prng.ts";
import { realEnv } from "../../src/env/real-env.ts";
import { InstallWalk } from "./install-walk.ts";
import { MemoryDisk } from "./memory-disk.ts";
import { MemoryTables } from "./memory-tables.ts";
import { MemoryWorkers } from "./memory-workers.ts";
import { eachSeedLater } from "./seed.ts";

const folder = mkdtempSync(join(tmpdir(), "kvraft-install-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function memoryEnv() {
  const disk = new MemoryDisk();
  const tables = new MemoryTables(disk);
  return { disk, tables, workers: new MemoryWorkers({ disk, tables: new MemoryTables(disk) }) };
}

test("a store that takes another's state is that one from then on, whatever both do meanwhile", async () => {
  const told = { installs: 0, refusals: 0 };
  await eachSeedLater(30, async (prng) => {
    const envs = [memoryEnv(), memoryEnv()] as const;
    const work = () => {
      for (let slices = prng.pick([1, 1, 2, 5, 30]); slices > 0; slices--)
        for (const { workers } of envs) workers.step();
    };
    const walk = new InstallWalk(envs, "store", prng, work);
    await walk.run(600);
    for (const { tables } of envs) expect(tables.openCount).toBe(0);
    told.installs += walk.installs;
    told.refusals += walk.refusals;
  });
  if (process.env["SEED"] !== undefined) return;
  expect(told.installs).toBeGreaterThan(80);
  expect(told.refusals).toBeGreaterThan(10);
});

test("so does a store on files, with a worker in a thread", async () => {
  await eachSeedLater(3, async (prng, seed) => {
    // The walk does not depend on how far the worker is: it takes chances of its own.
    const pauses = new Prng(seed);
    const work = () => Bun.sleep(pauses.pick([0, 0, 1, 5]));
    await new InstallWalk([realEnv(), realEnv()], join(folder, String(seed)), prng, work).run(400);
  });
});
