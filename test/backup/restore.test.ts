/** Goal: the servers of a new cluster have exactly what the backup holds, agree without talking, and go on from there. */
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BackupReader, type CheckedBackup } from "../../src/backup/backup-reader.ts";
import { checkRestorable, restore } from "../../src/backup/restore.ts";
import { saveStopped } from "../../src/backup/save.ts";
import { StoppedNode } from "../../src/backup/stopped-node.ts";
import { clientEndsOf, type KVClient, makeKVClient } from "../../src/client/kv-client.ts";
import { defaultLimits, defaultTimings, type ServerConfig } from "../../src/config/config.ts";
import { BunDisk } from "../../src/env/bun-disk.ts";
import { BunNet } from "../../src/env/bun-net.ts";
import { realEnv } from "../../src/env/real-env.ts";
import { SqliteTables } from "../../src/env/sqlite-tables.ts";
import { localPrefix } from "../../src/kv/keys.ts";
import { LevelDB } from "../../src/leveldb/level-db.ts";
import type { Address } from "../../src/lib/address.ts";
import { examineDataFolder } from "../../src/server/doctor.ts";
import { type KVServer, startKVServer } from "../../src/server/kv-server.ts";
import { cleanUp, temporaryFolder, userRow, writeBackup } from "./folders.ts";

const servers = new Set<KVServer>();

afterAll(async () => {
  await Promise.all([...servers].map((server) => server.stop()));
  cleanUp();
});

function freeAddresses(count: number): Address[] {
  const acceptors = Array.from({ length: count }, () =>
    new BunNet().listen("127.0.0.1", 0, () => {
      throw new Error("nobody connects here");
    }),
  );
  for (const acceptor of acceptors) acceptor.close();
  return acceptors.map(({ port }) => ({ host: "127.0.0.1", port }));
}

function configOf(folder: string, addresses: readonly Address[], me: number): ServerConfig {
  return {
    me,
    servers: addresses,
    dataDir: join(folder, `n${me}`),
    timings: defaultTimings,
    limits: defaultLimits,
    logLevel: "info",
  };
}

async function restoreFrom(path: string, config: ServerConfig): Promise<number> {
  const reader = new BackupReader(path);
  const env = realEnv();
  try {
    checkRestorable(env, config.dataDir);
    return await restore(finish(reader.check()), reader.rows(), { env, config, progress: () => {} });
  } finally {
    reader.close();
  }
}

function finish<T>(steps: Generator<unknown, T>): T {
  for (let step = steps.next(); ; step = steps.next()) if (step.done) return step.value;
}

function checkedOf(path: string): CheckedBackup {
  const reader = new BackupReader(path);
  try {
    return finish(reader.check());
  } finally {
    reader.close();
  }
}

async function start(config: ServerConfig): Promise<KVServer> {
  const server = await startKVServer(config);
  servers.add(server);
  return server;
}

async function stop(server: KVServer): Promise<void> {
  await server.stop();
  servers.delete(server);
}

function clientOf(addresses: readonly Address[]): KVClient {
  return makeKVClient(clientEndsOf(addresses), { timeoutMs: 10_000 });
}

const users = [
  userRow("", "the empty key", 7),
  userRow("a", "1", 100, 60),
  ...Array.from({ length: 500 }, (_, at) => userRow(`key${1000 + at}`, "v".repeat(at * 10), (at % 90) + 1)),
  userRow(Uint8Array.of(0xff, 0), Uint8Array.of(0, 255), 12, 2),
];

test("three servers that restore by themselves form one cluster, with the backup's keys, lives and revision", async () => {
  const folder = temporaryFolder();
  const path = join(folder, "backup");
  writeBackup(path, users);
  const addresses = freeAddresses(3);
  const configs = addresses.map((_, me) => configOf(folder, addresses, me));
  for (const config of configs) expect(await restoreFrom(path, config)).toBe(100 + 2 ** 32);
  for (const { dataDir } of configs) {
    const env = { disk: new BunDisk(), tables: new SqliteTables() };
    expect(finish(examineDataFolder(env, dataDir))).toMatchObject({ ok: true, notes: [] });
  }
  await Promise.all(configs.map(start));
  await using client = clientOf(addresses);
  for (const { key, value, created, modified, count } of users)
    expect(await client.getRecord(key.slice(1))).toEqual({
      value: Buffer.from(value),
      created,
      modified,
      count,
    });
  // No waiting for sessions, though the log's time lies ahead of what any old one may have been born at.
  await client.put("a", "2");
  expect(await client.getRecord("a")).toMatchObject({ created: 41, modified: 2 ** 32 + 101, count: 61 });
  expect(await client.get("no such key")).toBeUndefined();
}, 30_000);

test("a server that joins a restored cluster is given what was restored, not only what came after it", async () => {
  const folder = temporaryFolder();
  const path = join(folder, "backup");
  writeBackup(path, users);
  const [first, second] = freeAddresses(2) as [Address, Address];
  const config = configOf(folder, [first], 0);
  await restoreFrom(path, config);
  await start(config);
  await using client = clientOf([first]);
  await client.put("after", "1");
  const joining = { ...configOf(folder, [second], 0), dataDir: join(folder, "joining") };
  servers.add(await startKVServer(joining, { join: first }));
  let learner: string | undefined;
  while (learner === undefined) {
    const { members } = await client.members();
    learner = members.find(({ role, lag, match }) => role === "learner" && lag === 0 && match! > 0)?.nodeId;
    await Bun.sleep(20);
  }
  await client.changeMembers({ promote: [learner] });
  await client.transferLeadership(learner);
  for (const { key, value } of users)
    expect((await client.getRecord(key.slice(1)))?.value).toEqual(Buffer.from(value));
  expect(await client.get("after")).toBe("1");
}, 30_000);

test("a folder that is not empty is not touched, and an empty backup is a backup", async () => {
  const folder = temporaryFolder();
  const path = join(folder, "backup");
  writeBackup(path, []);
  const config = configOf(folder, freeAddresses(1), 0);
  mkdirSync(join(config.dataDir, "sub"), { recursive: true });
  await expect(restoreFrom(path, config)).rejects.toMatchObject({ code: "EXISTS" });
  expect(readdirSync(config.dataDir)).toEqual(["sub"]);
  const other = { ...config, dataDir: join(folder, "deep", "er") };
  await restoreFrom(path, other);
  await expect(restoreFrom(path, other)).rejects.toMatchObject({ code: "EXISTS" });
  const server = await start(other);
  await using client = clientOf(other.servers);
  expect(await client.get("a")).toBeUndefined();
  await client.put("a", "1");
  expect(await client.getRecord("a")).toMatchObject({ created: 2 ** 32 + 101 });
  await stop(server);
}, 20_000);

test("what a stopped node holds, its log replayed, is a backup; nothing in its folder changes", async () => {
  const folder = temporaryFolder();
  const config = configOf(folder, freeAddresses(1), 0);
  const server = await start(config);
  const client = clientOf(config.servers);
  for (let at = 0; at < 50; at++) await client.put(`k${at % 20}`, `${at}`);
  await client.delete("k3");
  const revision = (await client.status())[0]!.revision!;
  const records = new Map<string, unknown>();
  for (let at = 0; at < 20; at++) records.set(`k${at}`, await client.getRecord(`k${at}`));
  // As kill -9 leaves it: nothing of it is in the store.
  const copy = join(folder, "copy");
  Bun.spawnSync(["cp", "-r", config.dataDir, copy]);
  await client.close();
  await stop(server);
  for (const dataDir of [copy, config.dataDir]) {
    const listing = () =>
      Bun.spawnSync([
        "sh",
        "-c",
        `cd ${dataDir} && find . -type f ! -name 'LOCK*' | sort | xargs sha256sum`,
      ]).stdout.toString();
    const env = { disk: new BunDisk(), tables: new SqliteTables() };
    const lines: string[] = [];
    const before = listing();
    const node = StoppedNode.open({
      env,
      folder: dataDir,
      withUncommitted: true,
      report: (line) => lines.push(line),
    });
    finish(node.replay());
    const path = join(folder, `of-${dataDir === copy ? "copy" : "stopped"}`);
    const options = { createdAt: "now", version: "test", progress: () => {} };
    const backup = await saveStopped(path, node, options);
    node.close();
    expect(listing()).toBe(before);
    expect(backup).toMatchObject({ revision, keys: 19 });
    const restored = configOf(join(folder, `new-${backup.index}-${dataDir.length}`), freeAddresses(1), 0);
    await restoreFrom(path, restored);
    expect(checkedOf(path).revision).toBe(revision);
    const next = await start(restored);
    await using reader = clientOf(restored.servers);
    for (const [key, record] of records) expect(await reader.getRecord(key)).toEqual(record as never);
    await stop(next);
  }
}, 30_000);

test("a node that crashed while it took over another one's state is backed up as it would start", async () => {
  const folder = temporaryFolder();
  const path = join(folder, "backup");
  writeBackup(path, users);
  const config = configOf(folder, freeAddresses(1), 0);
  await restoreFrom(path, config);
  const first = await start(config);
  await using firstClient = clientOf(config.servers);
  expect(await firstClient.get("a")).toBe("1");
  await stop(first);
  const env = realEnv();
  const store = LevelDB.open(env, join(config.dataDir, "store"));
  const scan = store.scanDurable({ limit: localPrefix });
  await new Promise<void>((installed, refused) => {
    const install = store.beginInstall({ consumed: () => {}, installed, refused });
    for (let rows = scan.read(65_536); rows !== undefined; rows = scan.read(65_536)) install.add(rows);
    install.finish({ sequence: 2 ** 32 + 100, applied: { index: 70, term: 4 } });
  });
  scan.close();
  store.close();
  const node = StoppedNode.open({ env, folder: config.dataDir, withUncommitted: false, report: () => {} });
  finish(node.replay());
  expect(node).toMatchObject({ index: 70, term: 4, revision: 2 ** 32 + 100, uncommitted: undefined });
  node.close();
  const server = await start(config);
  await using client = clientOf(config.servers);
  expect(await client.get("a")).toBe("1");
  await stop(server);
}, 20_000);

test("entries that are not known to be committed are told, and left out unless they are asked for", async () => {
  const folder = temporaryFolder();
  const config = configOf(folder, freeAddresses(1), 0);
  const server = await start(config);
  const client = clientOf(config.servers);
  for (let at = 0; at < 5; at++) await client.put(`k${at}`, "v");
  const copy = join(folder, "copy");
  Bun.spawnSync(["cp", "-r", config.dataDir, copy]);
  await client.close();
  await stop(server);
  const env = { disk: new BunDisk(), tables: new SqliteTables() };
  const open = (withUncommitted: boolean) => {
    const node = StoppedNode.open({ env, folder: copy, withUncommitted, report: () => {} });
    finish(node.replay());
    const { revision, index, uncommitted } = node;
    node.close();
    return { revision, index, uncommitted };
  };
  const without = open(false);
  const { uncommitted } = without;
  // The commit of the last write is stored with the next one.
  expect(uncommitted?.first).toBe(without.index + 1);
  expect(without.revision).toBeLessThan(5);
  expect(open(true)).toEqual({ revision: 5, index: uncommitted!.last, uncommitted });
});

test("a folder that is none, is in use, or has no cluster yet is refused by name", () => {
  const folder = temporaryFolder();
  const env = { disk: new BunDisk(), tables: new SqliteTables() };
  const open = (path: string) => () =>
    StoppedNode.open({ env, folder: path, withUncommitted: false, report: () => {} });
  expect(open(join(folder, "no"))).toThrow(`Cannot back up "${folder}/no": there is no such folder`);
  writeFileSync(join(folder, "file"), "");
  expect(open(folder)).toThrow("it holds no identity");
});
