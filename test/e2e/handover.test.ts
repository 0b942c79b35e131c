import { afterAll, expect, test } from "bun:test";
import { Cluster } from "./cluster.ts";
import { cleanUp } from "./processes.ts";
import { until } from "./wait.ts";
import { median, Workload } from "./workload.ts";

// A leader that goes, in order or not, holds clients up for a moment. Figures on a machine of one's own: make bench-operations.

afterAll(cleanUp);

const rounds = 5;

test("a leader that is stopped in order under load hands over: clients wait less than 100 ms", async () => {
  await using cluster = await Cluster.start();
  const workload = await loadOn(cluster);
  const gaps: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const leader = await cluster.awaitLeader();
    await Bun.sleep(300);
    const slowest = workload.watch();
    cluster.servers[leader]!.signal("SIGTERM");
    expect(await cluster.servers[leader]!.ended()).toBe(0);
    await Bun.sleep(200);
    gaps.push(slowest());
    cluster.restart(leader);
    await cluster.awaitCaughtUp(leader);
  }
  await expectUnharmed(cluster, workload, `${rounds} leaders stopped in order`, gaps);
  expect(median(gaps)).toBeLessThan(100);
}, 40_000);

test("after kill -9 of a leader the next write is done soon", async () => {
  await using cluster = await Cluster.start();
  const workload = await loadOn(cluster);
  const gaps: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const leader = await cluster.awaitLeader();
    await Bun.sleep(300);
    await cluster.kill9(leader);
    gaps.push(Math.max(...(await workload.gaps())));
    cluster.restart(leader);
    await cluster.awaitCaughtUp(leader);
  }
  await expectUnharmed(cluster, workload, `${rounds} leaders killed`, gaps);
  expect(median(gaps)).toBeLessThan(300);
  expect(Math.max(...gaps)).toBeLessThan(1_500);
}, 40_000);

test("kvraft leader transfer moves the leadership to whom it names, and clients follow", async () => {
  await using cluster = await Cluster.start();
  const workload = await loadOn(cluster);
  const gaps: number[] = [];
  let leader = await cluster.awaitLeader();
  for (let round = 0; round < rounds; round++) {
    const next = (leader + 1) % 3;
    const slowest = workload.watch();
    const moved = await cluster.cli(["leader", "transfer", cluster.address(next)]);
    gaps.push(slowest());
    expect(moved).toMatchObject({ code: 0, stderr: "", stdout: `${cluster.address(next)}\n` });
    expect(await cluster.leader()).toBe(next);
    leader = next;
  }
  const moved = await cluster.cli(["leader", "transfer"]);
  expect(moved.code).toBe(0);
  const any = await until("the new leader", () => cluster.leader());
  expect(any).not.toBe(leader);
  expect(moved.stdout).toBe(`${cluster.address(any)}\n`);
  await expectUnharmed(cluster, workload, `${rounds} transfers`, gaps);
  expect(median(gaps)).toBeLessThan(150);
}, 40_000);

async function loadOn(cluster: Cluster): Promise<Workload> {
  const clients = [0, 1, 2, 3].map(() => cluster.client({ timeoutMs: 20_000 }));
  await Promise.all(clients.map((client) => client.put("warm", "up")));
  return new Workload(clients);
}

async function expectUnharmed(
  cluster: Cluster,
  workload: Workload,
  what: string,
  gaps: readonly number[],
): Promise<void> {
  await workload.stop();
  process.stdout.write(
    `${what}: clients waited ${median(gaps).toFixed(0)} ms (median), ${Math.max(...gaps).toFixed(0)} ms (worst); ` +
      `${workload.acknowledgedCount} writes acknowledged, ${workload.unknownCount} unknown\n`,
  );
  await workload.check(cluster.client());
  expect(workload.unknownCount).toBe(0);
  expect(workload.notDoneCount).toBe(0);
}
