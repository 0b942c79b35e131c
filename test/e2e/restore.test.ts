import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { KVRecord } from "../../src/client/kv-client.ts";
import { kvraft } from "./binary.ts";
import { Cluster } from "./cluster.ts";
import { cleanUp, temporaryFolder } from "./processes.ts";

// A majority is lost: all nodes are killed, one folder is left. A backup of it, made without a server, becomes another
// cluster that has every write which was acknowledged.

const keys = Array.from({ length: 120 }, (_, at) => `key ${at}`);

let cluster: Cluster;
const records = new Map<string, KVRecord>();
let revision = 0;
/** The folder that is left, with several runs in its store, and more in its log. */
let survivor: string;
let backup: string;

beforeAll(async () => {
  cluster = await Cluster.start({ limits: { memtableBytes: "64KiB" } });
  const client = cluster.client();
  for (const key of keys) await client.put(key, `first ${key} `.repeat(200));
  for (const key of keys.slice(0, 40)) await client.put(key, "second");
  await client.delete(keys[7]!);
  await client.put("last", "acknowledged");
  for (const key of [...keys, "last"]) {
    const record = await client.getRecord(key);
    if (record !== undefined) records.set(key, record);
  }
  const leader = (await cluster.leader())!;
  revision = (await cluster.status())[leader]!.revision!;
  for (const index of [0, 1, 2]) await cluster.kill9(index);
  survivor = cluster.dataDir(leader);
  backup = join(temporaryFolder(), "left.kvraft");
}, 60_000);

afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
  await cleanUp();
});

/** A cluster whose folders are made from the backup, and which does not run yet. */
async function restored(nodes: number): Promise<Cluster> {
  const next = new Cluster({ nodes });
  for (const { configPath } of next.servers)
    expect(await kvraft(["snapshot", "restore", backup, configPath])).toMatchObject({
      code: 0,
      stderr: "",
    });
  return next;
}

/** Starts it, and compares every key. */
async function checkContent(next: Cluster): Promise<void> {
  for (const server of next.servers) server.start();
  await next.awaitLeader();
  const client = next.client();
  for (const key of [...keys, "last"]) expect(await client.getRecord(key)).toEqual(records.get(key));
  await client.put("after", "1");
  expect(await client.getRecord("after")).toMatchObject({
    created: revision + 2 ** 32 + 1,
    modified: revision + 2 ** 32 + 1,
    count: 1,
  });
  await next.awaitEqual();
}

test("the folder of a stopped node becomes a file that SQLite reads, and is not changed by it", async () => {
  const listing = () =>
    readdirSync(survivor, { recursive: true, withFileTypes: true })
      .filter((item) => item.isFile() && !item.name.startsWith("LOCK"))
      .map(({ parentPath, name }) => `${name} ${Bun.hash(readFileSync(join(parentPath, name)))}`)
      .sort();
  const before = listing();
  const saved = await kvraft([
    "snapshot",
    "save",
    backup,
    "--data-dir",
    `${survivor}/`,
    "--uncommitted",
    "-o",
    "json",
  ]);
  expect(saved.code).toBe(0);
  expect(JSON.parse(saved.stdout)).toMatchObject({ file: backup, keys: records.size, revision });
  expect(listing()).toEqual(before);
  expect(readdirSync(join(backup, ".."))).toEqual(["left.kvraft"]);

  using database = new Database(backup, { readonly: true });
  const rows = database.query("SELECT CAST(key AS TEXT) AS key, modified, count FROM kv").all() as {
    key: string;
    modified: number;
    count: number;
  }[];
  const found = new Map(rows.map(({ key, ...life }) => [key, life]));
  expect([...found.keys()]).toEqual([...records.keys()].sort());
  for (const [key, { modified, count }] of records) expect(found.get(key)).toEqual({ modified, count });

  const inspected = await kvraft(["snapshot", "inspect", backup]);
  expect(inspected).toMatchObject({ code: 0, stderr: "" });
  expect(inspected.stdout).toContain(`state: revision ${revision}, entry `);
}, 60_000);

test("without --uncommitted it says which entries are left out", async () => {
  const path = join(temporaryFolder(), "committed");
  const saved = await kvraft(["snapshot", "save", path, "--data-dir", survivor, "-o", "json"]);
  expect(saved.code).toBe(0);
  if (JSON.parse(saved.stdout).revision < revision)
    expect(saved.stderr).toMatch(
      /kvraft: (entry \d+ of the log is|entries \d+ to \d+ of the log are) left out/,
    );
});

test("three servers that each restore it form one cluster with every acknowledged write", async () => {
  await using next = await restored(3);
  await checkContent(next);
  expect(new Set((await next.status()).map((node) => node.clusterId)).size).toBe(1);
  for (const index of [0, 1, 2]) expect(await next.stop(index)).toBe(0);
  for (const index of [0, 1, 2]) expect((await kvraft(["doctor", next.dataDir(index)])).code).toBe(0);
}, 60_000);

test("one server that restores it is a cluster too, and survives kill -9", async () => {
  await using next = await restored(1);
  await checkContent(next);
  await next.kill9(0);
  next.restart(0);
  await next.awaitLeader();
  expect(await next.client().get("after")).toBe("1");
}, 60_000);

test("a damaged backup is refused with status 1, and nothing is written", async () => {
  const folder = temporaryFolder();
  const damaged = join(folder, "damaged");
  cpSync(backup, damaged);
  const bytes = readFileSync(damaged);
  bytes[bytes.lastIndexOf("acknowledged")]! ^= 1;
  writeFileSync(damaged, bytes);
  const next = new Cluster({ nodes: 1 });
  const [server] = next.servers;
  const refused = await kvraft(["snapshot", "restore", damaged, server!.configPath]);
  expect(refused).toMatchObject({
    code: 1,
    stdout: "",
    stderr: expect.stringContaining("its checksum fails"),
  });
  expect(existsSync(next.dataDir(0))).toBe(false);
  expect((await kvraft(["snapshot", "inspect", damaged])).code).toBe(1);
  expect((await kvraft(["snapshot", "inspect", server!.configPath])).code).toBe(1);
});

test("an existing file and a folder that is not empty are refused with status 2, and stay as they are", async () => {
  const next = new Cluster({ nodes: 1 });
  const [server] = next.servers;
  mkdirSync(next.dataDir(0), { recursive: true });
  writeFileSync(join(next.dataDir(0), "mine"), "mine");
  const refused = await kvraft(["snapshot", "restore", backup, server!.configPath]);
  expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining("the folder is not empty") });
  expect(readdirSync(next.dataDir(0))).toEqual(["mine"]);

  const before = readFileSync(backup);
  const again = await kvraft(["snapshot", "save", backup, "--data-dir", survivor]);
  expect(again).toMatchObject({ code: 2, stderr: expect.stringContaining("no backup is ever overwritten") });
  expect(readFileSync(backup).equals(before)).toBe(true);
});

test("the folder of a server that runs is refused with status 2", async () => {
  await using one = await Cluster.start({ nodes: 1 });
  const path = join(temporaryFolder(), "file");
  const refused = await kvraft(["snapshot", "save", path, "--data-dir", one.dataDir(0)]);
  expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining("a server uses it") });
  expect(existsSync(path)).toBe(false);
}, 30_000);
