import { afterAll, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { Cluster } from "./cluster.ts";
import { freePorts } from "./ports.ts";
import { cleanUp } from "./processes.ts";
import { until } from "./wait.ts";

// Members are known by their ids: no address, swapped, reused or new, stops one or costs the quorum.

afterAll(cleanUp);

/** Which node has which address and role, as the cluster that answers at these ports says it. */
async function members(cluster: Cluster, ports: readonly number[]): Promise<Map<string, string>> {
  const { members: list } = await cluster.client({ timeoutMs: 10_000 }, ports).members();
  return new Map(list.map(({ nodeId, address, role }) => [nodeId, `${address} ${role}`]));
}

/** Stops these nodes, and starts each at its place of a new list of ports; yields when the members are known to be there. */
async function move(cluster: Cluster, moved: readonly number[], ports: readonly number[]): Promise<void> {
  const before = await members(cluster, cluster.ports);
  const idAt = (port: number) => [...before].find(([, text]) => text === `127.0.0.1:${port} voter`)![0];
  const wanted = cluster.ports.map((port, index) => [idAt(port), `127.0.0.1:${ports[index]} voter`] as const);
  for (const index of moved) await cluster.stop(index);
  for (const index of moved) {
    cluster.configure(index, ports);
    cluster.restart(index);
  }
  await until(
    "the members are where they are",
    async () => {
      const found = await members(cluster, ports);
      return wanted.every(([id, text]) => found.get(id) === text);
    },
    30_000,
    () => cluster.servers.map((server) => server.log.slice(-1500)).join("\n--"),
  );
  for (const server of cluster.servers) expect(server.isRunning).toBe(true);
}

test("two members swap their ports, and the cluster serves with any one of the three down", async () => {
  await using cluster = await Cluster.start();
  await cluster.client({ timeoutMs: 10_000 }).put("a", "1");
  const [first, second, third] = cluster.ports as [number, number, number];
  const swapped = [second, first, third];
  await move(cluster, [0, 1], swapped);
  const client = cluster.client({ timeoutMs: 10_000 }, swapped);
  for (const index of [0, 1, 2]) {
    await cluster.kill9(index);
    await client.put("a", `${index}`);
    expect(await client.get("a")).toBe(`${index}`);
    cluster.restart(index);
    await cluster.awaitLeader();
  }
}, 60_000);

test("all members are moved to new ports at once, and find each other", async () => {
  await using cluster = await Cluster.start();
  await cluster.client({ timeoutMs: 10_000 }).put("a", "1");
  const ports = freePorts(3);
  await move(cluster, [0, 1, 2], ports);
  const client = cluster.client({ timeoutMs: 10_000 }, ports);
  expect(await client.get("a")).toBe("1");
  await client.put("a", "2");
}, 60_000);

test("a member that starts at a dead member's port goes on, and so does the cluster", async () => {
  await using cluster = await Cluster.start();
  const [dead, moved] = [1, 2];
  await cluster.kill9(dead);
  await cluster.stop(moved);
  const ports = [cluster.ports[0]!, freePorts(1)[0]!, cluster.ports[dead]!];
  cluster.configure(moved, ports);
  cluster.restart(moved);
  const client = cluster.client({ timeoutMs: 20_000 }, [ports[0]!, ports[2]!]);
  await client.put("a", "1");
  const shared = await until("two members with one address", async () => {
    const found = await members(cluster, [ports[0]!, ports[2]!]);
    const there = [...found].filter(([, text]) => text === `${cluster.address(dead)} voter`);
    return there.length === 2 && there.map(([id]) => id);
  });
  expect(cluster.servers[moved]!.isRunning).toBe(true);
  // An address is no name for one of the two.
  const removed = await cluster.cli([
    "-e",
    `127.0.0.1:${ports[0]}`,
    "member",
    "remove",
    cluster.address(dead),
  ]);
  expect(removed).toMatchObject({ code: 2, stderr: expect.stringContaining("name it by its id") });
  const status = await cluster.cli(["-e", `127.0.0.1:${ports[0]}`, "status"]);
  expect(status.stdout).toContain(" is expected at this address, and node ");
  expect(shared.filter((id) => status.stdout.includes(`node ${id} answers there`)).length).toBe(1);
}, 60_000);

test("a server that lost its folder returns at its address and replaces the one that it was", async () => {
  await using cluster = await Cluster.start();
  await cluster.client({ timeoutMs: 10_000 }).put("a", "1");
  const lost = ((await cluster.leader())! + 1) % 3;
  const oldId = (await cluster.status())[lost]!.nodeId!;
  await cluster.kill9(lost);
  rmSync(cluster.dataDir(lost), { recursive: true });
  cluster.join(lost, (lost + 1) % 3);
  const newId = await until(
    "the server has joined",
    async () => {
      const found = await members(cluster, cluster.ports);
      return [...found].find(([, text]) => text === `${cluster.address(lost)} learner`)?.[0];
    },
    20_000,
    () => cluster.logOf(lost),
  );
  const byAddress = `${cluster.address(lost)}=${cluster.address(lost)}`;
  const guessed = await cluster.cli(["member", "replace", byAddress]);
  expect(guessed).toMatchObject({ code: 2, stderr: expect.stringContaining("name it by its id") });
  const replaced = await cluster.cli(["member", "replace", `${oldId}=${newId}`], { timeoutMs: 30_000 });
  expect(replaced).toMatchObject({ code: 0, stderr: "" });
  expect((await cluster.cli(["member", "replace", `${oldId}=${newId}`])).code).toBe(0);
  const found = await members(cluster, cluster.ports);
  expect([...found.values()].toSorted()).toEqual(
    cluster.ports.map((port) => `127.0.0.1:${port} voter`).toSorted(),
  );
  // It is one of two that are left, so it counts.
  await cluster.kill9((lost + 1) % 3);
  const client = cluster.client({ timeoutMs: 20_000 });
  await client.put("a", "2");
  expect(await client.get("a")).toBe("2");
}, 60_000);
