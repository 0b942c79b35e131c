import { afterAll, expect, test } from "bun:test";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Cluster } from "./cluster.ts";
import { cleanUp } from "./processes.ts";
import { smallLimits } from "./small-limits.ts";
import { until } from "./wait.ts";

// Goal: a disk that hangs, the store's alone or the log's, keeps clients waiting for a moment only, wherever the leader is.
// Method: the binary with syncs that do not end while the test says so (hanging-syncs.js), under a load that fills the store.

afterAll(cleanUp);

/** What a server is started with so that its disk hangs when the test says so. */
class HangingCluster {
  static async start(): Promise<HangingCluster> {
    const cluster = new Cluster({ limits: smallLimits });
    for (const [index, server] of cluster.servers.entries()) {
      mkdirSync(folderOf(cluster, index));
      server.environment = {
        BUN_OPTIONS: `--preload=${join(import.meta.dir, "hanging-syncs.js")}`,
        KVRAFT_TEST_HANGS: folderOf(cluster, index),
      };
      server.start();
    }
    await cluster.awaitLeader();
    return new HangingCluster(cluster);
  }

  readonly cluster: Cluster;

  private constructor(cluster: Cluster) {
    this.cluster = cluster;
  }

  hang(index: number, what: "store" | "log" | "names"): void {
    writeFileSync(join(folderOf(this.cluster, index), what), "");
  }

  heal(index: number): void {
    for (const what of ["store", "log", "names"])
      rmSync(join(folderOf(this.cluster, index), what), { force: true });
  }
}

function folderOf(cluster: Cluster, index: number): string {
  return join(cluster.folder, `hangs${index + 1}`);
}

/** Writers that put one large value after the other until `stop`, which yields the longest time between two answers. */
function load(cluster: Cluster): { slowest: () => number; stop: () => Promise<void> } {
  const value = "v".repeat(16 * 1024);
  let isStopping = false;
  let slowestMs = 0;
  const answeredMs = [0, 0, 0, 0].map(() => performance.now());
  const note = (writer: number): void => {
    slowestMs = Math.max(slowestMs, performance.now() - answeredMs[writer]!);
  };
  const writers = answeredMs.map(async (_, writer) => {
    const client = cluster.client({ timeoutMs: 30_000 });
    for (let number = 0; !isStopping; number++) {
      await client.put(`w${writer}/${number % 20}`, value);
      note(writer);
      answeredMs[writer] = performance.now();
    }
  });
  return {
    slowest: () => {
      for (const writer of answeredMs.keys()) note(writer);
      const result = slowestMs;
      slowestMs = 0;
      return result;
    },
    stop: async () => {
      isStopping = true;
      await Promise.all(writers);
    },
  };
}

/** So long clients may wait: 1.3 s on a quiet machine, and what a busy one adds. */
const boundMs = 10_000;

/** Lets the leader's disk hang until another node leads, and says how long clients waited for one. */
async function hangLeader(hanging: HangingCluster, what: "store" | "log" | "names"): Promise<void> {
  const { cluster } = hanging;
  const leader = await cluster.awaitLeader();
  const writes = load(cluster);
  await Bun.sleep(500);
  writes.slowest();
  const before = cluster.logOf(leader).length;
  hanging.hang(leader, what);
  const said = () => cluster.logOf(leader).slice(before);
  // A store is missed only when its memory is full. On a busy machine the leader may have lost its office before.
  const isMissed = () => what === "log" || said().includes("This node does not lead until the store gets on");
  await until("another leader", () => said().includes("leader→follower") && isMissed(), 20_000, said);
  await Bun.sleep(500);
  const slowestMs = writes.slowest();
  process.stdout.write(`the ${what} of the leader hung: clients waited ${slowestMs.toFixed(0)} ms\n`);
  expect(slowestMs).toBeLessThan(boundMs);
  hanging.heal(leader);
  await writes.stop();
}

test("a leader whose store hangs, in a sync or a rename, hands over and comes back as a follower", async () => {
  const hanging = await HangingCluster.start();
  await using cluster = hanging.cluster;
  for (const what of ["store", "names"] as const) {
    await hangLeader(hanging, what);
    await cluster.awaitEqual();
  }
  // It may lead again.
  const other = ((await cluster.awaitLeader()) + 1) % 3;
  await until("the transfer back", async () => {
    const { code } = await cluster.cli(["leader", "transfer", cluster.address(other)]);
    return code === 0;
  });
}, 60_000);

test("a leader whose log hangs steps down, and comes back as a follower", async () => {
  const hanging = await HangingCluster.start();
  await using cluster = hanging.cluster;
  await hangLeader(hanging, "log");
  await cluster.awaitEqual();
}, 60_000);

test("a follower whose disk hangs, the log's or the store's, holds nobody up, and ends when it is told to", async () => {
  const hanging = await HangingCluster.start();
  await using cluster = hanging.cluster;
  const leader = await cluster.awaitLeader();
  const [one, two] = [(leader + 1) % 3, (leader + 2) % 3] as [number, number];
  const writes = load(cluster);
  hanging.hang(one, "log");
  await Bun.sleep(3_000);
  hanging.heal(one);
  hanging.hang(two, "store");
  await until("a store that hangs", () => cluster.logOf(two).includes("The store has done nothing"));
  expect(writes.slowest()).toBeLessThan(boundMs);
  await writes.stop();
  const beganMs = performance.now();
  cluster.servers[two]!.signal("SIGTERM");
  expect(await cluster.servers[two]!.ended(20_000)).toBe(1);
  expect(performance.now() - beganMs).toBeLessThan(15_000);
  expect(cluster.logOf(two)).toContain("its disk has done nothing for 5 s; check the disk");
  hanging.heal(two);
  cluster.restart(two);
  await cluster.awaitEqual();
}, 60_000);

test("a server whose store gets no thread ends with the reason and the way out, and has lost nothing", async () => {
  await using cluster = new Cluster({ nodes: 1, limits: smallLimits });
  const [server] = cluster.servers;
  const path = join(cluster.folder, "no-threads");
  writeFileSync(path, "");
  server!.environment = {
    BUN_OPTIONS: `--preload=${join(import.meta.dir, "no-threads.js")}`,
    KVRAFT_TEST_NO_THREADS: path,
  };
  server!.start();
  const client = cluster.client({ timeoutMs: 10_000 });
  let acknowledged = 0;
  let isOver = false;
  const writing = (async () => {
    for (; !isOver; acknowledged++) await client.put(`k${acknowledged}`, "v".repeat(16 * 1024));
  })();
  expect(await server!.ended(20_000)).toBe(1);
  expect(cluster.logOf(0)).toContain("Cannot start a thread for the store: Resource temporarily unavailable");
  expect(cluster.logOf(0)).toContain("ulimit -u");
  expect(acknowledged).toBeGreaterThan(5);
  isOver = true;
  const last = acknowledged - 1;
  rmSync(path);
  server!.start();
  await writing;
  expect((await client.get(`k${last}`))?.length).toBe(16 * 1024);
}, 40_000);
