import { expect, test } from "bun:test";
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Cluster } from "./cluster.ts";
import { until } from "./wait.ts";

// Goal: no wall clock of a server, however wrong, ends a session, stops a client, or moves the cluster's time. Method: the
// binary with a Date.now that is off by as much as a file says.

const year2100Ms = 4_102_444_800_000;

function setClock(cluster: Cluster, index: number, aheadMs: number): void {
  const path = clockPath(cluster, index);
  // Whoever reads it at this moment reads one or the other.
  writeFileSync(`${path}.new`, String(aheadMs));
  renameSync(`${path}.new`, path);
}

function clockPath(cluster: Cluster, index: number): string {
  return join(cluster.folder, `clock${index + 1}`);
}

async function started(): Promise<Cluster> {
  const cluster = new Cluster();
  for (const [index, server] of cluster.servers.entries()) {
    setClock(cluster, index, 0);
    const preload = join(import.meta.dir, "wrong-clock.js");
    server.environment = {
      BUN_OPTIONS: `--preload=${preload}`,
      KVRAFT_TEST_CLOCK: clockPath(cluster, index),
    };
    server.start();
  }
  await cluster.awaitLeader();
  return cluster;
}

test("a client that asks a follower with a wrong clock first can write at once", async () => {
  await using cluster = await started();
  const follower = ((await cluster.awaitLeader()) + 1) % 3;
  for (const aheadMs of [61_000, -660_000, year2100Ms - Date.now()]) {
    setClock(cluster, follower, aheadMs);
    await Bun.sleep(100);
    const put = await cluster.cli([
      "-e",
      cluster.address(follower),
      "--timeout",
      "10s",
      "put",
      `k${aheadMs}`,
      "v",
    ]);
    expect(put).toMatchObject({ code: 0, stderr: "" });
  }
}, 60_000);

test("a leader in the year 2100 moves neither sessions nor wall time, and leaves nothing behind when it is gone", async () => {
  await using cluster = await started();
  const startedAtMs = performance.now();
  const wrong = await cluster.awaitLeader();
  const client = cluster.client({ timeoutMs: 20_000 });
  await client.put("before", "1");
  setClock(cluster, wrong, year2100Ms - Date.now());
  // Longer than it takes a leader to look at the clocks.
  for (let round = 0; round < 15; round++) {
    await client.put(`during${round}`, "1");
    await Bun.sleep(100);
  }
  expect(await cluster.leader()).toBe(wrong);
  await expectRightTimes(cluster, startedAtMs);
  await cluster.kill9(wrong);
  await client.put("after", "1");
  expect((await cluster.cli(["put", "new session", "1"])).code).toBe(0);
  await expectRightTimes(cluster, startedAtMs);
}, 60_000);

async function expectRightTimes(cluster: Cluster, startedAtMs: number): Promise<void> {
  await until("a leader", () => cluster.leader(), 20_000);
  const nodes = (await cluster.status()).filter(({ reachable }) => reachable);
  expect(nodes.length).toBeGreaterThan(1);
  for (const { leaseTimeMs, wallTimeMs } of nodes) {
    expect(Math.abs(wallTimeMs! - Date.now())).toBeLessThan(30_000);
    expect(leaseTimeMs).toBeGreaterThan(0);
    expect(leaseTimeMs).toBeLessThan(performance.now() - startedAtMs + 60_000);
  }
}
