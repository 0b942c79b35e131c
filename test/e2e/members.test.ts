import { afterAll, expect, test } from "bun:test";
import type { MemberStatus } from "../../src/client/kv-client.ts";
import { Cluster } from "./cluster.ts";
import { expectEqualStates } from "./node-states.ts";
import { cleanUp } from "./processes.ts";
import { until } from "./wait.ts";
import { Workload } from "./workload.ts";

// Machines come and go while clients write: no write is lost, done twice, or even fails, and who was removed ends.

afterAll(cleanUp);

/** Of a server that was removed: its folder cannot be used any more. */
const removedStatus = 2;

test("three machines are replaced one by one under load", async () => {
  await using cluster = await Cluster.start();
  const workload = await loadOn(cluster);
  const slowest = workload.watch();
  for (const old of [0, 1, 2]) {
    const place = cluster.add();
    cluster.join(place, old);
    const replaced = await runOn(cluster, place, ["member", "replace", pairOf(cluster, old, place)]);
    expect(replaced.stderr).not.toContain("kvraft:");
    expect(replaced.code).toBe(0);
    await expectRemoved(cluster, old);
  }
  await expectUnharmed(cluster, workload, [3, 4, 5], slowest);
}, 60_000);

test("three machines are replaced at once under load", async () => {
  await using cluster = await Cluster.start();
  const workload = await loadOn(cluster);
  const slowest = workload.watch();
  const news = [cluster.add(), cluster.add(), cluster.add()];
  for (const place of news) cluster.join(place, 0);
  const pairs = news.map((place, old) => pairOf(cluster, old, place));
  const replaced = await runOn(cluster, 3, ["member", "replace", ...pairs]);
  expect(replaced.code).toBe(0);
  for (const old of [0, 1, 2]) await expectRemoved(cluster, old);
  await expectUnharmed(cluster, workload, news, slowest);
}, 60_000);

test("a learner is sent everything and does not vote, until it is promoted", async () => {
  await using cluster = await Cluster.start();
  const client = cluster.client({ timeoutMs: 20_000 });
  await client.put("before", "it joined");
  const learner = cluster.add();
  cluster.join(learner, 1);
  const joined = await until("the learner", async () => {
    const member = memberAt(cluster, learner, (await client.members()).members);
    return member?.lag === 0 ? member : undefined;
  });
  expect(joined.role).toBe("learner");
  await expectEqualStates(cluster, [0, 1, 2, learner]);

  // With two of three voters gone it makes up for neither.
  const leader = await cluster.awaitLeader();
  const followers = [0, 1, 2].filter((index) => index !== leader);
  for (const index of followers) await cluster.kill9(index);
  const alone = await cluster.cli(["--timeout", "1s", "put", "alone", "x"]);
  expect([3, 5]).toContain(alone.code);
  for (const index of followers) cluster.restart(index);
  await cluster.awaitLeader();

  const promoted = await cluster.cli(["member", "promote", cluster.address(learner)]);
  expect(promoted).toMatchObject({ code: 0, stderr: "" });
  expect(promoted.stdout).toContain(`${cluster.address(learner)} is a voter now`);
  const { members } = await client.members();
  expect(members.map(({ role }) => role)).toEqual(["voter", "voter", "voter", "voter"]);
  // Four voters need three: now it makes up for one.
  await cluster.kill9(followers[0]!);
  await client.put("after", "it votes");
  expect(await client.get("after")).toBe("it votes");
}, 60_000);

test("a machine that is down is replaced by a new one, and ends when it comes back", async () => {
  await using cluster = await Cluster.start();
  const down = ((await cluster.awaitLeader()) + 1) % 3;
  await cluster.kill9(down);
  const workload = await loadOn(cluster);
  const slowest = workload.watch();
  const place = cluster.add();
  cluster.join(place, (down + 1) % 3);
  const added = await runOn(cluster, place, ["member", "add", cluster.address(place)]);
  expect(added.stdout).toContain(`${cluster.address(place)} is a voter now`);
  expect(added.code).toBe(0);
  const removed = await runOn(cluster, place, ["member", "remove", cluster.address(down)]);
  expect(removed.stdout).toContain(`${cluster.address(down)} is no member any more`);
  expect(removed.code).toBe(0);
  cluster.restart(down);
  expect(await cluster.servers[down]!.ended()).toBe(removedStatus);
  await expectRemoved(cluster, down);
  await expectUnharmed(
    cluster,
    workload,
    [0, 1, 2, place].filter((index) => index !== down),
    slowest,
  );
}, 60_000);

async function loadOn(cluster: Cluster): Promise<Workload> {
  const clients = [0, 1, 2, 3].map(() => cluster.client({ timeoutMs: 20_000 }));
  await Promise.all(clients.map((client) => client.put("warm", "up")));
  return new Workload(clients);
}

/** As somebody does who knows but the new machine. */
function runOn(cluster: Cluster, place: number, args: readonly string[]) {
  return cluster.cli(["-e", cluster.address(place), "--timeout", "15s", ...args]);
}

function pairOf(cluster: Cluster, old: number, place: number): string {
  return `${cluster.address(old)}=${cluster.address(place)}`;
}

function memberAt(
  cluster: Cluster,
  place: number,
  members: readonly MemberStatus[],
): MemberStatus | undefined {
  return members.find(({ address }) => address === cluster.address(place));
}

/** It ends by itself, and every further start of it does too. */
async function expectRemoved(cluster: Cluster, place: number): Promise<void> {
  expect(await cluster.servers[place]!.ended()).toBe(removedStatus);
  expect(cluster.logOf(place)).toContain("was removed from the cluster");
  cluster.restart(place);
  expect(await cluster.servers[place]!.ended()).toBe(removedStatus);
}

/** Clients that were made before anything changed have noticed nothing but a pause. */
async function expectUnharmed(
  cluster: Cluster,
  workload: Workload,
  members: readonly number[],
  slowest: () => number,
): Promise<void> {
  await workload.stop();
  process.stdout.write(
    `${workload.acknowledgedCount} writes acknowledged, ${workload.unknownCount} unknown, ` +
      `${workload.notDoneCount} not done; the slowest took ${slowest().toFixed(0)} ms\n`,
  );
  const client = cluster.client(
    {},
    members.map((place) => cluster.ports[place]!),
  );
  await workload.check(client);
  expect(workload.unknownCount).toBe(0);
  expect(workload.notDoneCount).toBe(0);
  const list = await client.members();
  const addresses = list.members.map(({ address }) => address);
  expect(addresses.toSorted()).toEqual(members.map((place) => cluster.address(place)).toSorted());
  await expectEqualStates(cluster, members);
  for (const place of members) expect(cluster.logOf(place)).not.toContain("bug in kvraft");
}
