import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, renameSync } from "node:fs";
import { Prng } from "../../src/env/prng.ts";
import { Cluster } from "./cluster.ts";
import { cleanUp } from "./processes.ts";
import { until } from "./wait.ts";

afterAll(cleanUp);

const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 1_000_000));

test("servers that are started one after the other wait for each other, and say for whom", async () => {
  await using cluster = new Cluster();
  cluster.restart(0);
  await until("it waits", () =>
    cluster.logOf(0).includes(`waiting for ${cluster.address(1)}, ${cluster.address(2)}`),
  );
  expect(await cluster.cli(["--timeout", "300ms", "put", "too", "early"])).toMatchObject({ code: 3 });
  const status = await cluster.cli(["status"]);
  expect(status).toMatchObject({ code: 1 });
  expect(status.stdout).toContain("waiting");
  cluster.restart(2);
  await until("it waits for one", () => cluster.logOf(0).includes(`waiting for ${cluster.address(1)}\n`));
  cluster.restart(1);
  await cluster.awaitLeader();
  // From now on a majority is enough.
  await cluster.kill9(0);
  await cluster.kill9(1);
  await cluster.kill9(2);
  cluster.restart(2);
  cluster.restart(1);
  await cluster.awaitLeader();
}, 30_000);

test("servers whose lists differ do not form a cluster, and say so", async () => {
  await using cluster = new Cluster();
  const [first, second, third] = cluster.ports;
  cluster.configure(2, [second!, first!, third!]);
  for (const index of cluster.ports.keys()) cluster.restart(index);
  await until("the lists are told", () =>
    /The server lists differ: here .*give all servers the same list/.test(cluster.logOf(0)),
  );
  await Bun.sleep(500);
  for (const node of await cluster.status()) expect(node.role).toBe("waiting");
  await cluster.kill9(2);
  cluster.configure(2);
  cluster.restart(2);
  await cluster.awaitLeader();
}, 30_000);

test("formation resumes after a crash in the middle", async () => {
  const prng = new Prng(seed);
  const states = new Set<string>();
  for (let round = 0; round < 4; round++) {
    await using cluster = new Cluster();
    const tale = `SEED=${seed}, round ${round}`;
    for (const index of cluster.ports.keys()) cluster.restart(index);
    // Formation takes a few rounds of 200 ms; crashes fall anywhere within them.
    const endMs = performance.now() + 1_200;
    while (performance.now() < endMs) {
      await Bun.sleep(prng.int(0, 250));
      const index = prng.int(0, 2);
      const { state } = (await cluster.status())[index]!;
      if (state !== undefined) states.add(state);
      await cluster.kill9(index);
      await Bun.sleep(prng.int(0, 50));
      cluster.restart(index);
    }
    await cluster.awaitLeader().catch((error: unknown) => {
      throw new Error(`${tale}: ${String(error)}`);
    });
    const nodes = await cluster.awaitEqual();
    expect(new Set(nodes.map((node) => node.clusterId)).size, tale).toBe(1);
    expect(new Set(nodes.map((node) => node.nodeId)).size, tale).toBe(3);
    const client = cluster.client();
    await client.put("formed", tale);
    // And it stays so.
    await Promise.all(cluster.ports.map((_, index) => cluster.kill9(index)));
    for (const index of cluster.ports.keys()) cluster.restart(index);
    await cluster.awaitLeader();
    expect(await client.get("formed")).toBe(tale);
  }
  process.stdout.write(`nodes were killed while they were ${[...states].join(", ")}\n`);
}, 55_000);

describe("an empty folder that meets an initialised peer never votes and says how to be replaced", () => {
  for (const place of [0, 1, 2])
    test(`the server in place ${place}`, async () => {
      await using cluster = await Cluster.start();
      await cluster.client().put("kept", "safe");
      const clusterIds = new Set((await cluster.status()).map((node) => node.clusterId));
      for (const index of cluster.ports.keys()) await cluster.kill9(index);
      renameSync(cluster.dataDir(place), `${cluster.dataDir(place)}.lost`);
      mkdirSync(cluster.dataDir(place));
      // It and one other would be a majority, if it were let.
      const other = (place + 1) % 3;
      cluster.restart(place);
      cluster.restart(other);
      expect(await cluster.servers[place]!.ended()).toBe(2);
      expect(cluster.logOf(place)).toContain("a server that lost its folder must not vote again");
      expect(cluster.logOf(place)).toContain(
        "Bring this server back as a new member: empty the folder, start it with --join",
      );
      await Bun.sleep(700);
      expect((await cluster.status())[other]!.role).not.toBe("leader");
      expect(await cluster.cli(["--timeout", "200ms", "get", "kept"])).toMatchObject({ code: 3 });
      // The two that kept theirs are enough.
      cluster.restart((place + 2) % 3);
      await cluster.awaitLeader();
      expect(await cluster.client().get("kept")).toBe("safe");
      for (const node of await cluster.status())
        if (node.reachable) expect(clusterIds.has(node.clusterId)).toBe(true);
    }, 30_000);
});
