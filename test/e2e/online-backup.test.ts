import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { kvraft } from "./binary.ts";
import { Cluster } from "./cluster.ts";
import { cleanUp, temporaryFolder } from "./processes.ts";
import { until } from "./wait.ts";

// `kvraft snapshot save` of a cluster that goes on meanwhile.

let cluster: Cluster;

beforeAll(async () => {
  cluster = await Cluster.start({ limits: { memtableBytes: "256KiB" } });
}, 60_000);

afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
  await cleanUp();
});

test("a backup has every write that was acknowledged before, as one moment, while others go on", async () => {
  const client = cluster.client({ timeoutMs: 20_000 });
  for (let at = 0; at < 300; at++) await client.put(`key ${at}`, "v".repeat(2000));
  // Both keys of a pair are written one after the other: no moment has the second one of a later round.
  let isOver = false;
  let rounds = 0;
  const writing = (async () => {
    for (; !isOver; rounds++) {
      await client.put("pair 1", `${rounds}`);
      await client.put("pair 2", `${rounds}`);
    }
  })();
  await until("writes are under way", () => rounds > 5);
  const folder = temporaryFolder();
  const path = join(folder, "file");
  const saved = await cluster.cli(["snapshot", "save", path, "-o", "json"], { timeoutMs: 60_000 });
  isOver = true;
  await writing;
  expect(saved).toMatchObject({ code: 0, stderr: "" });
  expect(JSON.parse(saved.stdout).keys).toBeGreaterThanOrEqual(300);
  expect(readdirSync(folder)).toEqual(["file"]);

  await using next = new Cluster({ nodes: 1 });
  expect((await kvraft(["snapshot", "restore", path, next.servers[0]!.configPath])).code).toBe(0);
  next.servers[0]!.start();
  await next.awaitLeader();
  const restored = next.client();
  for (let at = 0; at < 300; at++)
    expect(await restored.getRecord(`key ${at}`)).toEqual(await client.getRecord(`key ${at}`));
  const [first = "-1", second = "-1"] = [await restored.get("pair 1"), await restored.get("pair 2")];
  expect(Number(second)).toBeGreaterThanOrEqual(5);
  expect(Number(first)).toBeLessThan(rounds);
  expect(Number(first) - Number(second) === 0 || Number(first) - Number(second) === 1).toBe(true);
}, 120_000);

test("any node can be read, and all of them have the same content", async () => {
  await cluster.awaitEqual();
  const checksums: string[] = [];
  for (const index of [0, 1, 2]) {
    const path = join(temporaryFolder(), "file");
    const saved = await cluster.cli(["snapshot", "save", path, "--server", cluster.address(index)]);
    expect(saved).toMatchObject({ code: 0, stderr: "" });
    const { keys, bytes, revision } = JSON.parse(
      (await kvraft(["snapshot", "inspect", path, "-o", "json"])).stdout,
    );
    checksums.push(`${keys} ${bytes} ${revision}`);
  }
  expect(new Set(checksums).size).toBe(1);
}, 60_000);

test("a node that cannot be reached leaves no file: status 3", async () => {
  const path = join(temporaryFolder(), "file");
  const failed = await cluster.cli([
    "snapshot",
    "save",
    path,
    "--server",
    "127.0.0.1:9",
    "--timeout",
    "500ms",
  ]);
  expect(failed.code).toBe(3);
  expect(existsSync(path) || existsSync(`${path}.part`)).toBe(false);
}, 30_000);
