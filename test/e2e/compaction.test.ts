import { afterAll, expect, test } from "bun:test";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { kvraft } from "./binary.ts";
import { Cluster } from "./cluster.ts";
import { expectEqualStates } from "./node-states.ts";
import { cleanUp } from "./processes.ts";
import { keyOf, putMany } from "./put-many.ts";
import { smallLimits } from "./small-limits.ts";
import { until } from "./wait.ts";

// What a node keeps is bounded by what is in the database, not by what was ever written.

afterAll(cleanUp);

const kibibyte = 1024;
const puts = { name: "few", count: 30_000, keys: 100, valueBytes: 500 };

test("many puts over few keys leave a small folder that every node restarts from", async () => {
  await using cluster = await Cluster.start({ limits: smallLimits });
  const all = [...cluster.ports.keys()];
  const clients = Array.from({ length: 4 }, () => cluster.client({ timeoutMs: 20_000 }));
  await putMany(clients, puts);
  const before = await expectEqualStates(cluster, all);
  expect(before.revision).toBeGreaterThanOrEqual(puts.count);

  // The tail and what is not in the store yet; files that are still being merged.
  const logBytesMax = 700 * kibibyte;
  const storeBytesMax = 1500 * kibibyte;
  const written = puts.count * puts.valueBytes;
  expect(written).toBeGreaterThan(4 * (logBytesMax + storeBytesMax));
  for (const index of all) {
    // It is looked at now and then what may go, and files go one by one.
    await sizeBelow(join(cluster.dataDir(index), "log"), logBytesMax);
    await sizeBelow(join(cluster.dataDir(index), "store"), storeBytesMax);
  }
  for (const { firstIndex, lastIndex, logBytes } of await cluster.status()) {
    expect(firstIndex).toBeGreaterThan(puts.count / 2);
    expect(lastIndex).toBeGreaterThan(puts.count);
    expect(logBytes).toBeLessThan(logBytesMax);
  }

  await Promise.all(all.map((index) => cluster.kill9(index)));
  for (const index of all) cluster.restart(index);
  await cluster.awaitLeader();
  const after = await expectEqualStates(cluster, all);
  expect(after.revision).toBe(before.revision);
  const client = cluster.client({ timeoutMs: 20_000 });
  for (let number = puts.count - puts.keys; number < puts.count; number++) {
    const record = await client.getRecord(keyOf(puts, number));
    expect(record?.count).toBe(puts.count / puts.keys);
  }

  await Promise.all(all.map((index) => cluster.kill9(index)));
  for (const index of all) {
    const doctor = await kvraft(["doctor", cluster.dataDir(index)]);
    expect(doctor.stderr).toBe("");
    expect(doctor).toMatchObject({ code: 0 });
  }
}, 60_000);

async function sizeBelow(folder: string, bytesMax: number): Promise<void> {
  const seen = () => `${sizeOf(folder)} in ${readdirSync(folder)}`;
  await until(`less than ${bytesMax} bytes in ${folder}`, () => sizeOf(folder) < bytesMax, 5_000, seen);
}

/** Of all files in a folder, in bytes. */
function sizeOf(folder: string): number {
  const names = readdirSync(folder);
  return names.reduce(
    (sum, name) => sum + (statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0),
    0,
  );
}
