import { afterAll, expect, test } from "bun:test";
import { Prng } from "../../src/env/prng.ts";
import { Cluster } from "./cluster.ts";
import { DirectReads } from "./direct-reads.ts";
import { cleanUp } from "./processes.ts";
import { startProxied } from "./proxied-cluster.ts";
import { until } from "./wait.ts";

// A leader that sleeps does not know that another one took its place. Reads wait for it in its socket when it wakes up:
// each began after the new value was acknowledged, so the old one would be a lie.

afterAll(cleanUp);

const rounds = 3;

test("reads stay linearizable when an old leader is stopped (SIGSTOP) while a new one takes writes, and goes on (SIGCONT)", async () => {
  await using cluster = await Cluster.start();
  await sleepThroughWrites(cluster, () => {});
}, 40_000);

test("reads stay linearizable when the old leader hears of no other when it goes on", async () => {
  await using cluster = new Cluster();
  const proxies = await startProxied(cluster, new Prng(1));
  // Else what its peers have sent is read in the same turn as the first reads, and ends its belief in time.
  await sleepThroughWrites(cluster, (leader, isCut) => proxies.setCut(leader, isCut));
}, 40_000);

/** `setCut` is told when the leader's peers must not reach it, and when they may again. */
async function sleepThroughWrites(
  cluster: Cluster,
  setCut: (leader: number, isCut: boolean) => void,
): Promise<void> {
  const client = cluster.client({ timeoutMs: 20_000 });
  for (let round = 0; round < rounds; round++) {
    const leader = await cluster.awaitLeader();
    await client.put("register", `old ${round}`);
    const direct = new DirectReads(cluster.ports[leader]!);
    expect(await direct.get("register", 5_000)).toBe(`old ${round}`);

    cluster.pause(leader);
    setCut(leader, true);
    // These may be answered by the old value or not at all: they began before the write.
    const early = Array.from({ length: 10 }, () => direct.get("register", 2_500));
    await client.put("register", `new ${round}`);
    const late = Array.from({ length: 100 }, () => direct.get("register", 800));
    await Bun.sleep(20);
    cluster.resume(leader);
    const wokenUntil = performance.now() + 300;
    while (performance.now() < wokenUntil) {
      late.push(direct.get("register", 500));
      await Bun.sleep(1);
    }
    for (const value of await Promise.all(early))
      expect([`old ${round}`, `new ${round}`, undefined]).toContain(value);
    for (const value of await Promise.all(late)) expect([`new ${round}`, undefined]).toContain(value);
    setCut(leader, false);
    await direct.close();
    await until("the old leader follows", async () => (await cluster.status())[leader]!.role !== "leader");
    expect(await client.get("register")).toBe(`new ${round}`);
  }
}

test("reads stay linearizable when a leader is cut from its peers and not from its client", async () => {
  // Both followers sleep, and the leader is awake.
  await using cluster = await Cluster.start();
  const client = cluster.client({ timeoutMs: 20_000 });
  await client.put("register", "old");
  const leader = await cluster.awaitLeader();
  const direct = new DirectReads(cluster.ports[leader]!);
  expect(await direct.get("register", 5_000)).toBe("old");
  for (const index of cluster.ports.keys()) if (index !== leader) cluster.pause(index);
  await Bun.sleep(20);
  // It leads still, for as long as it may believe so; but it cannot know, and so must not say.
  const alone = await Promise.all(Array.from({ length: 50 }, () => direct.get("register", 1_500)));
  expect(alone.filter((value) => value !== undefined)).toEqual([]);
  for (const index of cluster.ports.keys()) if (index !== leader) cluster.resume(index);
  await cluster.awaitLeader();
  expect(await client.get("register")).toBe("old");
  await direct.close();
}, 30_000);
