import { afterAll, expect, test } from "bun:test";
import { BunClock } from "../../src/env/bun-clock.ts";
import { Prng } from "../../src/env/prng.ts";
import { Cluster } from "./cluster.ts";
import { atEnd, cleanUp } from "./processes.ts";
import { startProxied } from "./proxied-cluster.ts";
import { FrameProxy, RoutedNet, type Weather } from "./proxy.ts";
import { Workload } from "./workload.ts";

afterAll(cleanUp);

const seed = Number(process.env["SEED"] ?? 20_260_722);
const weather: Weather = { lossPercent: 10, delayPercent: 10, delayMsMin: 20, delayMsMax: 1500 };
const runMs = 12_000;

test("fuzz: 10 % loss, 10 % long delay, node crashes", async () => {
  const prng = new Prng(seed);
  await using cluster = new Cluster();
  const nodeProxies = (await startProxied(cluster, prng, weather)).all;
  const clientProxies = cluster.ports.map((port) => new FrameProxy(port, prng.fork(), weather));
  atEnd(() => {
    for (const proxy of clientProxies) proxy.close();
  });
  const proxies = [...nodeProxies, ...clientProxies];
  const routes = new Map(cluster.ports.map((port, index) => [port, clientProxies[index]!.port]));
  const env = { clock: new BunClock(), net: new RoutedNet(routes) };
  const newClient = () => cluster.client({ timeoutMs: 30_000, env });
  const clients = [0, 1, 2].map(newClient);
  // Writers that share a client share a session: a lost frame leaves a hole in the middle of it.
  const workload = new Workload([...clients, ...clients, ...clients, ...clients], 3);
  workload.read(newClient());
  workload.read(newClient());

  const endMs = performance.now() + runMs;
  let crashes = 0;
  while (performance.now() < endMs) {
    await Bun.sleep(prng.int(300, 1500));
    const index = prng.int(0, 2);
    await cluster.kill9(index);
    crashes++;
    await Bun.sleep(prng.int(0, 800));
    cluster.restart(index);
  }
  await workload.stop();
  for (const proxy of proxies) proxy.weather = undefined;
  const nodes = await cluster.awaitEqual(30_000);
  const sumOf = (what: "dropped" | "delayed", some = proxies) =>
    some.reduce((sum, proxy) => sum + proxy[what], 0);
  process.stdout.write(
    `${sumOf("dropped")} frames lost, ${sumOf("delayed")} delayed, ${crashes} crashes, terms to ${nodes[0]!.term}; ` +
      `${workload.acknowledgedCount} writes acknowledged, ${workload.unknownCount} unknown, ${workload.readCount} reads\n`,
  );
  await workload.check(cluster.client());
  expect(workload.acknowledgedCount, `seed ${seed}`).toBeGreaterThan(50);
  expect(sumOf("dropped", clientProxies)).toBeGreaterThan(20);
  expect(sumOf("dropped", nodeProxies)).toBeGreaterThan(100);
  for (const index of cluster.ports.keys()) expect(cluster.logOf(index)).not.toContain("bug in kvraft");
}, 58_000);
