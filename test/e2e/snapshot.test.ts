import { afterAll, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { Prng } from "../../src/env/prng.ts";
import { Cluster } from "./cluster.ts";
import { expectEqualStates } from "./node-states.ts";
import { cleanUp } from "./processes.ts";
import { startProxied } from "./proxied-cluster.ts";
import { putMany } from "./put-many.ts";
import { smallLimits } from "./small-limits.ts";
import { until } from "./wait.ts";
import { Workload } from "./workload.ts";

// A node that lacks what the others have dropped from their logs gets the state instead, while clients write.

afterAll(cleanUp);

const fetchBegins = /Fetching the state after entry \d+/g;
const fetchEnds = /The state after entry \d+ is there/g;

test("a follower that was away for too long catches up by snapshot under load", async () => {
  await using cluster = await Cluster.start({ limits: smallLimits });
  const leader = await cluster.awaitLeader();
  const away = (leader + 1) % 3;
  await cluster.stop(away);
  await putOverTheTail(cluster);
  const workload = new Workload([0, 1].map(() => cluster.client({ timeoutMs: 20_000 })));
  cluster.restart(away);
  await awaitFetched(cluster, away, 1);
  await workload.stop();
  await workload.check(cluster.client());
  expect(workload.unknownCount).toBe(0);
  const { bytes } = await expectEqualStates(cluster, [0, 1, 2]);
  expect(bytes).toBeGreaterThan(1_000_000);
  // With what it fetched it counts for the majority, and goes on from its own disk.
  await cluster.kill9(leader);
  const client = cluster.client({ timeoutMs: 20_000 });
  await client.put("after", "all");
  await cluster.kill9(away);
  cluster.restart(away);
  expect(await client.get("after")).toBe("all");
}, 60_000);

test("a server that lost its folder refuses to start as itself, and comes back as another member", async () => {
  await using cluster = await Cluster.start({ limits: smallLimits });
  const lost = ((await cluster.awaitLeader()) + 1) % 3;
  const others = [0, 1, 2].filter((index) => index !== lost);
  await putOverTheTail(cluster);
  const workload = new Workload([0, 1].map(() => cluster.client({ timeoutMs: 20_000 })));
  await cluster.kill9(lost);
  rmSync(cluster.dataDir(lost), { recursive: true });
  cluster.restart(lost);
  expect(await cluster.servers[lost]!.ended()).toBe(2);
  const before = (await cluster.client().members()).members.map(({ nodeId }) => nodeId);
  rmSync(cluster.dataDir(lost), { recursive: true });
  cluster.join(lost, others[0]!);
  const learner = await until("the learner", async () => {
    const { members } = await cluster.client().members();
    return members.find(({ nodeId }) => !before.includes(nodeId))?.nodeId;
  });
  const old = cluster.logOf(lost).match(/node ([0-9a-f]{16}) listens/)![1]!;
  const replaced = await cluster.cli(["--timeout", "15s", "member", "replace", `${old}=${learner}`]);
  expect(replaced, replaced.stderr).toMatchObject({ code: 0 });
  await awaitFetched(cluster, lost, 1);
  await workload.stop();
  await workload.check(cluster.client());
  expect(workload.unknownCount).toBe(0);
  await expectEqualStates(cluster, [0, 1, 2]);
  // It starts without the flag, too.
  await cluster.kill9(lost);
  cluster.restart(lost);
  await cluster.kill9(others[0]!);
  await cluster.client({ timeoutMs: 20_000 }).put("after", "all");
}, 60_000);

test("a transfer that is cut short by kill -9 twice begins again, and ends", async () => {
  await using cluster = new Cluster({ limits: smallLimits });
  const proxies = await startProxied(cluster, new Prng(1));
  const away = ((await cluster.awaitLeader()) + 1) % 3;
  await cluster.stop(away);
  const clients = Array.from({ length: 4 }, () => cluster.client({ timeoutMs: 20_000 }));
  await putMany(clients, { name: "large", count: 4_000, keys: 4_000, valueBytes: 3_000 });
  const workload = new Workload(clients);
  // Each piece of the state takes a while: it is asked for and sent through here.
  for (const proxy of proxies.rows[away]!)
    if (proxy !== undefined)
      proxy.weather = { lossPercent: 0, delayPercent: 100, delayMsMin: 30, delayMsMax: 40 };
  for (let fetches = 1; fetches <= 2; fetches++) {
    cluster.restart(away);
    await until("a transfer begins", () => countOf(cluster, away, fetchBegins) === fetches);
    await Bun.sleep(1_000);
    await cluster.kill9(away);
    expect(countOf(cluster, away, fetchEnds)).toBe(0);
  }
  cluster.restart(away);
  await until("the third transfer begins", () => countOf(cluster, away, fetchBegins) === 3);
  for (const proxy of proxies.all) proxy.weather = undefined;
  await awaitFetched(cluster, away, 1);
  await workload.stop();
  await workload.check(cluster.client());
  expect(workload.unknownCount).toBe(0);
  const { bytes } = await expectEqualStates(cluster, [0, 1, 2]);
  expect(bytes).toBeGreaterThan(12_000_000);
}, 60_000);

test("a transfer whose source freezes begins anew at the new leader, as soon as there is one", async () => {
  await using cluster = new Cluster({ limits: smallLimits });
  const proxies = await startProxied(cluster, new Prng(1));
  const away = ((await cluster.awaitLeader()) + 1) % 3;
  await cluster.stop(away);
  const clients = Array.from({ length: 4 }, () => cluster.client({ timeoutMs: 20_000 }));
  await putMany(clients, { name: "large", count: 4_000, keys: 4_000, valueBytes: 3_000 });
  for (const proxy of proxies.rows[away]!)
    if (proxy !== undefined)
      proxy.weather = { lossPercent: 0, delayPercent: 100, delayMsMin: 60, delayMsMax: 80 };
  const ids = (await cluster.status()).map(({ nodeId }) => nodeId);
  cluster.restart(away);
  const source = await until("a transfer begins", () => {
    const from = /Fetching the state after entry .* from (\w+)/.exec(cluster.logOf(away))?.[1];
    return from !== undefined && ids.indexOf(from);
  });
  const other = 3 - away - source;
  cluster.pause(source);
  for (const proxy of proxies.rows[away]!) if (proxy !== undefined) proxy.weather = undefined;
  await until(
    "a transfer from the new leader begins",
    () => countOf(cluster, away, fetchBegins) === 2,
    20_000,
    () => cluster.logOf(away).slice(-1500),
  );
  const electedMs = lastMoment(cluster.logOf(other), /candidate→leader/);
  const begunMs = lastMoment(cluster.logOf(away), /Fetching the state after entry/);
  process.stdout.write(
    `the source froze: the transfer began anew ${begunMs - electedMs} ms after the election\n`,
  );
  // An election timeout is 300 to 600 ms; the rest is for a busy machine.
  expect(begunMs - electedMs).toBeLessThan(5_000);
  await awaitFetched(cluster, away, 1);
  cluster.resume(source);
  await expectEqualStates(cluster, [0, 1, 2]);
}, 60_000);

/** When a line of that kind was logged last, in ms since 1970. */
function lastMoment(log: string, pattern: RegExp): number {
  const line = log.split("\n").findLast((each) => pattern.test(each));
  return Date.parse(line!.split(" ")[0]!);
}

/** So much that no log leads back to what was before. */
async function putOverTheTail(cluster: Cluster): Promise<void> {
  const before = Math.max(...(await cluster.status()).map(({ lastIndex }) => lastIndex ?? 0));
  const clients = [0, 1].map(() => cluster.client({ timeoutMs: 20_000 }));
  await putMany(clients, { name: "tail", count: 6_000, keys: 2_000, valueBytes: 1_000 });
  await until("logs without their front", async () =>
    (await cluster.status()).every(({ reachable, firstIndex }) => !reachable || firstIndex! > before + 1),
  );
}

async function awaitFetched(cluster: Cluster, place: number, count: number): Promise<void> {
  await until(
    `node ${place} has fetched the state`,
    () => countOf(cluster, place, fetchEnds) >= count,
    20_000,
    () => cluster.logOf(place).slice(-1500),
  );
}

function countOf(cluster: Cluster, place: number, pattern: RegExp): number {
  return [...cluster.logOf(place).matchAll(pattern)].length;
}
