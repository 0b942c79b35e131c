import { afterAll, expect, test } from "bun:test";
import { cpSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { clientEndsOf, getClientEnds, KVError, makeKVClient, tryConnect } from "kvraft";
import { defaultLimits, defaultTimings, type ServerConfig } from "../../src/config/config.ts";
import { BunNet } from "../../src/env/bun-net.ts";
import type { Address } from "../../src/lib/address.ts";
import { type KVServer, startKVServer } from "../../src/server/kv-server.ts";

// Three real nodes in this process, on real sockets and disks, and the library as its users import it.

const folder = mkdtempSync(join(tmpdir(), "kvraft-cluster-"));
const servers = new Map<number, KVServer>();
const addresses: Address[] = [0, 1, 2].map(() => ({ host: "127.0.0.1", port: freePort() }));

afterAll(async () => {
  await Promise.all([...servers.values()].map((server) => server.stop()));
  rmSync(folder, { recursive: true });
});

function freePort(): number {
  const acceptor = new BunNet().listen("127.0.0.1", 0, () => {
    throw new Error("nobody connects here");
  });
  acceptor.close();
  return acceptor.port;
}

function configOf(me: number): ServerConfig {
  return {
    me,
    servers: addresses,
    dataDir: join(folder, `n${me}`),
    timings: defaultTimings,
    limits: { ...defaultLimits, valueBytes: 32 * 1024 * 1024 },
    logLevel: "info",
  };
}

async function start(me: number): Promise<void> {
  servers.set(me, await startKVServer(configOf(me)));
}

async function stop(me: number): Promise<void> {
  await servers.get(me)!.stop();
  servers.delete(me);
}

async function leader(): Promise<number> {
  for (;;) {
    for (const [me, server] of servers) if (server.isLeader) return me;
    await Bun.sleep(5);
  }
}

test("a cluster of three puts, gets and deletes; bytes and text come back as they were put", async () => {
  await Promise.all([start(0), start(1), start(2)]);
  await leader();
  const client = makeKVClient(clientEndsOf(addresses));
  await client.put("greeting", "hello");
  expect(await client.get("greeting")).toBe("hello");
  await client.put("greeting", "\ufeffwith a byte order mark");
  expect(await client.get("greeting")).toBe("\ufeffwith a byte order mark");
  const record = await client.getRecord("greeting");
  expect(record).toMatchObject({ created: 1, modified: 2, count: 2 });
  expect(await client.delete("greeting")).toBe(true);
  expect(await client.delete("greeting")).toBe(false);
  expect(await client.get("greeting")).toBeUndefined();
  const bytes = new Uint8Array([0, 255, 128, 0]);
  await client.put(new Uint8Array(0), bytes);
  expect(await client.getBytes("")).toEqual(bytes);
  const states = (await client.status()).map((node) => node.role).sort();
  expect(states).toEqual(["follower", "follower", "leader"]);
  await client.close();
}, 10_000);

test("getClientEnds() reads the file that the example names", async () => {
  const path = join(folder, "client.yml");
  const list = addresses.map(({ host, port }) => `  - ip: ${host}\n    port: ${port}\n`).join("");
  writeFileSync(path, `servers:\n${list}`);
  await using client = makeKVClient(getClientEnds(path));
  await client.put("greeting", "hello");
  expect(await client.get("greeting")).toBe("hello");
});

test("a command that would fit no frame between peers is refused, and the node goes on", async () => {
  await using client = makeKVClient(clientEndsOf(addresses));
  const most = 24 * 1024 * 1024;
  const refused = client.put("large", new Uint8Array(most - 100)).catch((error: unknown) => error);
  const error = (await refused) as KVError;
  expect(error).toBeInstanceOf(KVError);
  expect([error.outcome, error.code]).toEqual(["refused", "ErrTooLarge"]);
  await client.put("small", "1");
  expect(await client.get("small")).toBe("1");
}, 10_000);

test("writes are applied once each when the leader is stopped in the middle, and none that was answered is lost", async () => {
  const client = makeKVClient(clientEndsOf(addresses), { timeoutMs: 8000 });
  const writes = 600;
  const before = (await client.status()).find((node) => node.role === "leader")!.revision!;
  const answers = Array.from({ length: writes }, (_, at) => client.put(`k${at % 50}`, `${at}`));
  await answers[20];
  const old = await leader();
  await stop(old);
  await Promise.all(answers);
  for (let key = 0; key < 50; key++) expect(await client.get(`k${key}`)).toBe(`${writes - 50 + key}`);
  const after = (await client.status()).find((node) => node.role === "leader")!.revision!;
  expect(after - before).toBe(writes);
  await start(old);
  await client.put("last", "1");
  const revision = after + 1;
  for (let waited = 0; waited < 400; waited++) {
    const nodes = await client.status();
    if (nodes.every((node) => node.revision === revision)) break;
    await Bun.sleep(10);
  }
  expect((await client.status()).map((node) => node.revision)).toEqual([revision, revision, revision]);
  await client.close();
}, 15_000);

test("a second server on the same folder or port is refused by name, and holds nothing afterwards", async () => {
  await expect(startKVServer(configOf(0))).rejects.toThrow("is locked by another process");
  const other = { ...configOf(0), dataDir: join(folder, "other") };
  for (let attempt = 0; attempt < 2; attempt++)
    await expect(startKVServer(other)).rejects.toThrow("the port is in use");
  await stop(0);
  await start(0);
  await leader();
});

test("a log that is older than its store is refused, again and again, and nothing stays locked", async () => {
  const client = makeKVClient(clientEndsOf(addresses));
  const [log, older, kept] = ["log", "log-older", "log-kept"].map((name) => join(configOf(1).dataDir, name));
  await stop(1);
  cpSync(log!, older!, { recursive: true });
  await start(1);
  await client.put("more", "1");
  const wanted = Math.max(...(await client.status()).map((node) => node.applied ?? 0));
  while ((await client.status())[1]!.applied! < wanted) await Bun.sleep(5);
  await stop(1);
  renameSync(log!, kept!);
  renameSync(older!, log!);
  for (let attempt = 0; attempt < 2; attempt++)
    await expect(startKVServer(configOf(1))).rejects.toThrow("the store has applied entry");
  rmSync(log!, { recursive: true });
  renameSync(kept!, log!);
  await start(1);
  await client.put("more", "2");
  expect(await client.get("more")).toBe("2");
  await client.close();
}, 10_000);

test("tryConnect gives a connected end, or says why there is none", async () => {
  const connected = await tryConnect(addresses[servers.keys().next().value!]!);
  if (!connected.ok) throw new Error(connected.text);
  expect(connected.end.isConnected).toBe(true);
  await connected.end.close();

  const port = freePort();
  const refused = await tryConnect({ host: "127.0.0.1", port });
  expect(refused).toMatchObject({ ok: false, reason: "unreachable" });
  expect(refused.ok ? "" : refused.text).toContain(`Cannot reach 127.0.0.1:${port}`);
});
