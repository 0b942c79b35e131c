import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Cluster } from "./cluster.ts";
import { cleanUp } from "./processes.ts";
import { until } from "./wait.ts";
import { Workload } from "./workload.ts";

// The tests of the original design by their names, on real processes. They share one cluster, and each leaves all of
// its nodes running.

let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.start();
}, 30_000);
afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
  await cleanUp();
});

describe("the tests of the original design", () => {
  test("basic put/get", async () => {
    const client = cluster.client();
    expect(await client.get("basic")).toBeUndefined();
    await client.put("basic", "one");
    expect(await client.get("basic")).toBe("one");
    await client.put("basic", "two");
    expect(await client.get("basic")).toBe("two");
    expect(await client.delete("basic")).toBe(true);
    expect(await client.get("basic")).toBeUndefined();
    expect(await client.delete("basic")).toBe(false);
    // Through the binary, and from each node alone: a follower sends its callers to the leader.
    for (const index of cluster.ports.keys()) {
      const run = (...args: string[]) => cluster.cli(["-e", cluster.address(index), ...args]);
      expect(await run("put", `basic ${index}`, "via the command line")).toMatchObject({
        stdout: "OK\n",
        stderr: "",
        code: 0,
      });
      expect(await client.get(`basic ${index}`)).toBe("via the command line");
    }
  }, 30_000);

  test("get state", async () => {
    const nodes = await cluster.awaitEqual();
    const leaders = nodes.filter((node) => node.role === "leader");
    expect(leaders).toHaveLength(1);
    expect(nodes.filter((node) => node.role === "follower")).toHaveLength(2);
    expect(new Set(nodes.map((node) => node.term)).size).toBe(1);
    expect(new Set(nodes.map((node) => node.clusterId)).size).toBe(1);
    expect(new Set(nodes.map((node) => node.nodeId)).size).toBe(3);
    expect(nodes.map((node) => node.leader)).toEqual(Array(3).fill(leaders[0]!.address));
    expect(nodes.map((node) => node.state)).toEqual(Array(3).fill("formed"));
  }, 30_000);

  test("re-election", async () => {
    const client = cluster.client();
    await client.put("before the election", "kept");
    const leader = await cluster.awaitLeader();
    const { term: oldTerm } = (await cluster.status())[leader]!;
    await cluster.kill9(leader);
    const next = await cluster.awaitLeader();
    expect(next).not.toBe(leader);
    expect((await cluster.status())[next]!.term!).toBeGreaterThan(oldTerm!);
    expect(await client.get("before the election")).toBe("kept");
    await client.put("after the election", "taken");
    cluster.restart(leader);
    await cluster.awaitEqual();
    // Who comes back follows: with PreVote it disturbs nobody.
    expect(await cluster.leader()).toBe(next);
  }, 30_000);

  test("follower failure and recovery", async () => {
    const client = cluster.client();
    const leader = await cluster.awaitLeader();
    const { term } = (await cluster.status())[leader]!;
    const follower = (leader + 1) % 3;
    await cluster.kill9(follower);
    for (let number = 0; number < 50; number++) await client.put(`missed ${number}`, `value ${number}`);
    cluster.restart(follower);
    const nodes = await cluster.awaitEqual();
    expect(nodes[follower]!.role).toBe("follower");
    // The leader was never in doubt.
    expect(nodes[leader]).toMatchObject({ role: "leader", term: term! });
    // The follower can serve what it missed: it is one half of the majority that is left.
    const other = 3 - leader - follower;
    await cluster.kill9(other);
    for (let number = 0; number < 50; number++)
      expect(await client.get(`missed ${number}`)).toBe(`value ${number}`);
    cluster.restart(other);
    await cluster.awaitEqual();
  }, 30_000);

  test("log consistency", async () => {
    const workload = new Workload(
      [0, 1, 2, 3].map(() => cluster.client({ timeoutMs: 20_000 })),
      3,
      "consistent",
    );
    for (let round = 0; round < 3; round++) {
      const follower = ((await cluster.awaitLeader()) + 1) % 3;
      await cluster.kill9(follower);
      await Bun.sleep(150);
      cluster.restart(follower);
      const leader = await cluster.awaitLeader();
      await cluster.kill9(leader);
      await Bun.sleep(150);
      cluster.restart(leader);
      await cluster.awaitLeader();
    }
    await workload.stop();
    expect(workload.unknownCount).toBe(0);
    await cluster.awaitEqual();
    // Each node alone must hold all of it: every pair of nodes serves it, with the third one down.
    for (const index of cluster.ports.keys()) {
      await cluster.kill9(index);
      await workload.check(cluster.client());
      cluster.restart(index);
      await until("the node is back", async () => (await cluster.status())[index]!.applied !== undefined);
      await cluster.awaitEqual();
    }
  }, 60_000);
});
