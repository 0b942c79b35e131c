import { afterAll, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { clientEndsOf } from "../../src/client/client-ends.ts";
import { type KVClient, makeKVClient } from "../../src/client/kv-client.ts";
import { Cluster } from "./cluster.ts";
import { cleanUp } from "./processes.ts";
import { hello, Stranger } from "./stranger.ts";
import { until } from "./wait.ts";

// Real servers with few descriptors. Strangers and clients take what they can get. The log, the store and the members
// always find one, and nobody who was let in is thrown out.

afterAll(cleanUp);

const limitedTo = (count: number) => ["sh", "-c", `ulimit -n ${count}; exec "$@"`, "sh"];
/** Each 64 KiB of log begin another file. */
const limits = { keyBytes: "1KiB", valueBytes: "16KiB", segmentBytes: "64KiB" };

const descriptorsOf = (pid: number) => readdirSync(`/proc/${pid}/fd`).length;

test("a server with fewer descriptors than it needs does not start, and says how to raise the limit", async () => {
  await using cluster = new Cluster({ nodes: 1, wrapper: limitedTo(96) });
  cluster.servers[0]!.start();
  expect(await cluster.servers[0]!.ended()).toBe(2);
  expect(cluster.logOf(0)).toContain(
    "this process may open 96 files and connections, at least 160 are wanted",
  );
  expect(cluster.logOf(0)).toContain("ulimit -n");
});

test("with 200 descriptors clients until refusal and silent strangers cost no leader, no log file and no idle client", async () => {
  await using cluster = await Cluster.start({ wrapper: limitedTo(200), limits });
  const leader = await cluster.awaitLeader();
  const term = (await cluster.status())[leader]!.term;
  const port = cluster.ports[leader]!;
  const guest = cluster.client();
  await guest.put("before", "1");
  // Clients that say hello and nothing more, until the server refuses.
  const accepted: Stranger[] = [];
  for (let count = 0; count < 200; count++) {
    const stranger = await Stranger.connect(port);
    stranger.send(hello());
    accepted.push(stranger);
  }
  await until(
    "all are answered",
    () => accepted.every(({ received, isClosed }) => isClosed || received > 0),
    8_000,
  );
  await until("some are refused", () => accepted.filter(({ isClosed }) => isClosed).length > 50, 8_000);
  // Whoever was refused is closed soon after its answer.
  await Bun.sleep(500);
  const idle = accepted.filter(({ isClosed }) => !isClosed);
  const silent: Stranger[] = [];
  for (let count = 0; count < 1_500; count++) silent.push(await Stranger.connect(port));
  expect(descriptorsOf(cluster.servers[leader]!.pid)).toBeLessThan(190);
  // Many log files begin and end meanwhile.
  for (let count = 0; count < 40; count++) await guest.put(`k${count}`, "x".repeat(16_000));
  // A member comes back: it finds room beside all these.
  const follower = (leader + 1) % 3;
  await cluster.kill9(follower);
  cluster.restart(follower);
  await until(
    "the follower is back",
    () => / connected to /.test(cluster.logOf(follower).slice(-2_000)),
    8_000,
  );
  for (let count = 0; count < 10; count++) await guest.put(`l${count}`, "x".repeat(16_000));
  for (const index of cluster.ports.keys())
    expect(cluster.servers[index]!.isRunning, cluster.logOf(index)).toBe(true);
  expect(idle.filter(({ isClosed }) => isClosed)).toEqual([]);
  expect(cluster.logOf(leader).match(/more of these are not told/g)!.length).toBeLessThanOrEqual(4);
  for (const stranger of [...accepted, ...silent]) stranger.end();
  const client: KVClient = makeKVClient(clientEndsOf([{ host: "127.0.0.1", port }]), { timeoutMs: 5_000 });
  await until("there is room again", async () => (await client.get("before")) === "1", 8_000);
  await client.close();
  const now = (await cluster.status())[leader]!;
  expect([now.role, now.term]).toEqual(["leader", term]);
}, 60_000);

test("with 200 descriptors a store of many runs, a restart, a transfer, a backup and strangers end no server", async () => {
  const small = { ...limits, memtableBytes: "16KiB" };
  await using cluster = await Cluster.start({ wrapper: limitedTo(200), limits: small });
  const leader = await cluster.awaitLeader();
  const away = (leader + 1) % 3;
  const client = cluster.client({ timeoutMs: 20_000 });
  const value = "x".repeat(1_000);
  const fill = (from: number) =>
    Promise.all(Array.from({ length: 800 }, (_, at) => client.put(`k${(from + at) % 3_000}`, value)));
  for (const from of [0, 800]) await fill(from);
  await cluster.kill9(away);
  for (const from of [1_600, 2_400, 400]) await fill(from);
  const silent: Stranger[] = [];
  for (let count = 0; count < 300; count++)
    for (const index of [leader, (leader + 2) % 3])
      silent.push(await Stranger.connect(cluster.ports[index]!));
  cluster.restart(away);
  await cluster.awaitEqual(30_000);
  const runs = cluster.ports.map((_, index) => runsOf(cluster.dataDir(index)));
  const open = cluster.servers.map(({ pid }) => descriptorsOf(pid));
  process.stdout.write(`runs ${runs.join(", ")}; descriptors ${open.join(", ")}\n`);
  expect(Math.max(...open)).toBeLessThan(195);
  // Far more than one thread keeps open.
  expect(Math.max(...runs)).toBeGreaterThan(400);
  const saved = await cluster.cli(["snapshot", "save", "backup"]);
  expect(saved).toMatchObject({ code: 0 });
  for (const index of cluster.ports.keys()) await cluster.stop(index);
  for (const index of cluster.ports.keys()) cluster.restart(index);
  for (const at of [0, 1_500, 2_399]) expect(await client.get(`k${at}`)).toBe(value);
  for (const index of cluster.ports.keys())
    expect(cluster.servers[index]!.isRunning, cluster.logOf(index)).toBe(true);
  for (const stranger of silent) stranger.end();
}, 90_000);

function runsOf(dataDir: string): number {
  return readdirSync(dataDir, { recursive: true }).filter((name) => String(name).endsWith(".run")).length;
}
