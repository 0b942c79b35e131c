import { afterAll, beforeAll, expect, test } from "bun:test";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { binary, cleanEnvironment, kvraft } from "./binary.ts";
import { Cluster } from "./cluster.ts";
import { cleanUp, temporaryFolder, track } from "./processes.ts";
import { until } from "./wait.ts";

// A restore makes no member of a cluster. It prepares folders, which form a new cluster when all of them are there; and
// what was promised by a folder that is gone is never promised again by one that was made from the same backup.

/** Two backups of one cluster, at different moments. */
let backup: string;
let laterBackup: string;

beforeAll(async () => {
  await using origin = await Cluster.start({ nodes: 1 });
  const client = origin.client();
  for (let at = 0; at < 30; at++) await client.put(`old ${at}`, `${at}`);
  backup = join(temporaryFolder(), "monday.kvraft");
  laterBackup = join(temporaryFolder(), "tuesday.kvraft");
  expect((await origin.cli(["snapshot", "save", backup])).code).toBe(0);
  await client.put("later", "1");
  expect((await origin.cli(["snapshot", "save", laterBackup])).code).toBe(0);
}, 60_000);

afterAll(cleanUp);

async function restore(cluster: Cluster, index: number, from = backup): Promise<void> {
  expect(await kvraft(["snapshot", "restore", from, cluster.servers[index]!.configPath])).toMatchObject({
    code: 0,
    stderr: "",
  });
}

/** A cluster of three whose folders were all prepared from the backup; nothing runs. */
async function prepared(): Promise<Cluster> {
  const cluster = new Cluster();
  for (const index of [0, 1, 2]) await restore(cluster, index);
  return cluster;
}

async function startAll(cluster: Cluster): Promise<void> {
  for (const index of cluster.ports.keys()) cluster.restart(index);
  await cluster.awaitLeader();
}

function fingerprint(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((item) => item.isFile() && item.name !== "LOCK")
    .map(({ parentPath, name }) => `${parentPath}/${name} ${Bun.hash(readFileSync(join(parentPath, name)))}`)
    .sort();
}

test("a member whose folder is restored again brings no quorum without the writes that it had acknowledged", async () => {
  await using cluster = await prepared();
  cluster.restart(0);
  cluster.restart(1);
  await until("they wait for the third", () =>
    [0, 1].every((index) => cluster.logOf(index).includes(`waiting for ${cluster.address(2)}`)),
  );
  expect(await cluster.leader()).toBeUndefined();
  cluster.restart(2);
  await cluster.awaitLeader();
  await cluster.kill9(2);

  // Acknowledged by the first two.
  const client = cluster.client();
  for (let at = 0; at < 20; at++) await client.put(`new ${at}`, `${at}`);
  await cluster.kill9(0);
  await cluster.kill9(1);
  rmSync(cluster.dataDir(1), { recursive: true });
  await restore(cluster, 1);
  cluster.restart(1);
  cluster.restart(2);
  expect(await cluster.servers[1]!.ended()).toBe(2);
  expect(cluster.logOf(1)).toContain(
    `the data folder "${cluster.dataDir(1)}" was prepared from a backup, but ${cluster.address(2)} belongs to the formed cluster`,
  );
  expect(cluster.logOf(1)).toContain("must not vote again");
  await Bun.sleep(1500);
  expect(await cluster.leader()).toBeUndefined();

  // The other one that has them comes back, and the lost one as a new member, as it was told.
  cluster.restart(0);
  await cluster.awaitLeader();
  for (let at = 0; at < 20; at++) expect(await client.get(`new ${at}`)).toBe(`${at}`);
  expect(await client.get("old 7")).toBe("7");
  const members = await cluster.client().members();
  const lost = members.members.find(({ address }) => address === cluster.address(1))!;
  const added = cluster.add();
  cluster.join(added, 0);
  await until("the new server is a learner", async () =>
    (await client.members()).members.some(({ role }) => role === "learner"),
  );
  const learner = (await client.members()).members.find(({ role }) => role === "learner")!;
  await until("it has caught up", async () => {
    const found = (await client.members()).members.find(({ nodeId }) => nodeId === learner.nodeId);
    return found?.match !== undefined && found.match > 0 && found.lag === 0;
  });
  expect(await cluster.cli(["member", "replace", `${lost.nodeId}=${learner.nodeId}`])).toMatchObject({
    code: 0,
  });
  await cluster.kill9(0);
  await cluster.client({}, [cluster.ports[2]!, cluster.ports[added]!]).put("quorum of the two", "1");
  for (let at = 0; at < 20; at++) expect(await client.get(`new ${at}`)).toBe(`${at}`);
}, 60_000);

test("folders of two backups, and prepared beside empty ones, never form: each server says which has what", async () => {
  await using cluster = new Cluster();
  await restore(cluster, 0);
  await restore(cluster, 1, laterBackup);
  for (const index of [0, 1, 2]) cluster.restart(index);
  const checksumOf = async (path: string) =>
    JSON.parse((await kvraft(["snapshot", "inspect", "-o", "json", path])).stdout).checksum.slice(0, 12);
  const what = [`backup ${await checksumOf(backup)}`, `backup ${await checksumOf(laterBackup)}`, "nothing"];
  const told = what.map((each, index) => `${cluster.address(index)} has ${each}`).join(", ");
  for (const index of [0, 1, 2])
    await until(
      `server ${index} says it`,
      () => cluster.logOf(index).includes(told),
      10_000,
      () => cluster.logOf(index),
    );
  expect(await cluster.leader()).toBeUndefined();
  for (const index of [0, 1, 2]) await cluster.kill9(index);

  // Two that agree are not enough either.
  rmSync(cluster.dataDir(1), { recursive: true });
  await restore(cluster, 1);
  for (const index of [0, 1, 2]) cluster.restart(index);
  await until("the mix is told", () => cluster.logOf(2).includes(`${cluster.address(1)} has ${what[0]}`));
  await Bun.sleep(500);
  expect(await cluster.leader()).toBeUndefined();
  await cluster.kill9(2);
  rmSync(cluster.dataDir(2), { recursive: true });
  await restore(cluster, 2);
  cluster.restart(2);
  await cluster.awaitLeader();
  expect(await cluster.client().get("old 3")).toBe("3");
}, 60_000);

test("a prepared folder starts at its own place, with its own list, and not to join: status 2, and nothing changes", async () => {
  await using cluster = await prepared();
  const [server] = cluster.servers;
  const before = fingerprint(cluster.dataDir(0));
  const refused = async (flags: readonly string[] = []): Promise<string> => {
    const { code, stderr } = await kvraft(["server", server!.configPath, ...flags]);
    expect(code).toBe(2);
    expect(fingerprint(cluster.dataDir(0))).toEqual(before);
    return stderr;
  };
  const [first, second, third] = cluster.ports as [number, number, number];
  cluster.configure(0, [first, third, second]);
  expect(await refused()).toMatch(
    /was prepared from a backup for the servers .*, and the configuration lists .*snapshot restore/,
  );
  cluster.configure(0, [first, second]);
  expect(await refused()).toContain("was prepared from a backup for the servers");
  cluster.configure(0);
  writeFileSync(server!.configPath, readFileSync(server!.configPath, "utf8").replace('"me": 0', '"me": 1'));
  expect(await refused()).toContain('it belongs to the server in place 0 of the list, and "me" is 1');
  cluster.configure(0);
  expect(await refused(["--join", cluster.address(1)])).toMatch(
    /Cannot join a cluster: the data folder ".*" was prepared from a backup/,
  );
  await startAll(cluster);
  expect(await cluster.client().get("old 1")).toBe("1");
}, 60_000);

test("a prepared folder that meets a cluster which runs at its addresses stops, and hurts nobody", async () => {
  await using cluster = await Cluster.start();
  await cluster.client().put("kept", "safe");
  await cluster.kill9(2);
  rmSync(cluster.dataDir(2), { recursive: true });
  await restore(cluster, 2);
  cluster.restart(2);
  expect(await cluster.servers[2]!.ended()).toBe(2);
  expect(cluster.logOf(2)).toContain("was prepared from a backup, but");
  expect(cluster.logOf(2)).toContain("--join");
  expect(await cluster.client().get("kept")).toBe("safe");
}, 60_000);

test("two clusters of one backup have nothing in common, also when their servers swap addresses", async () => {
  await using one = await prepared();
  await using two = await prepared();
  await startAll(one);
  await startAll(two);
  await one.client().put("whose", "one");
  await two.client().put("whose", "two");
  const idsOf = async (cluster: Cluster) =>
    (await cluster.status()).flatMap(({ clusterId, nodeId }) => [clusterId, nodeId]);
  const [ids, otherIds] = [await idsOf(one), await idsOf(two)];
  expect(ids.filter((id) => otherIds.includes(id))).toEqual([]);
  await one.kill9(2);
  await two.kill9(2);
  // Each of the two now starts with the other's folder, as if the disks had been mixed up.
  const [folder, other] = [one.dataDir(2), two.dataDir(2)];
  const aside = `${folder}.aside`;
  for (const [from, to] of [
    [folder, aside],
    [other, folder],
    [aside, other],
  ] as const) {
    cpSync(from, to, { recursive: true });
    rmSync(from, { recursive: true });
  }
  one.restart(2);
  two.restart(2);
  await Bun.sleep(1500);
  const without = (cluster: Cluster) => cluster.client({}, cluster.ports.slice(0, 2));
  expect(await without(one).get("whose")).toBe("one");
  expect(await without(two).get("whose")).toBe("two");
  // Each cluster finds its own member at the new address, and nobody else's counts.
  await one.kill9(1);
  await two.kill9(0);
  await without(one).put("who else", "one");
  expect(await without(one).get("whose")).toBe("one");
  expect(await without(two).get("whose")).toBe("two");
  expect(await without(two).get("who else")).toBeUndefined();
}, 60_000);

test("a restore that is killed in the middle is told by name, and begins anew when it is run again", async () => {
  await using cluster = new Cluster({ nodes: 1 });
  const [server] = cluster.servers;
  const command = ["snapshot", "restore", backup, server!.configPath];
  let wasRestoring = false;
  for (let delayMs = 0; delayMs < 400 && !wasRestoring; delayMs += 5) {
    rmSync(cluster.dataDir(0), { recursive: true, force: true });
    const child = track(
      Bun.spawn([binary, ...command], { stdout: "ignore", stderr: "ignore", env: cleanEnvironment() }),
    );
    await until(
      "it begins, or is done",
      () => existsSync(join(cluster.dataDir(0), "identity")) || child.exitCode !== null,
    );
    await Bun.sleep(delayMs % 3);
    child.kill("SIGKILL");
    await child.exited;
    server!.start();
    await until("it ends or serves", async () => !server!.isRunning || (await cluster.leader()) === 0);
    wasRestoring = server!.status === 2;
    if (!wasRestoring) await server!.kill9();
  }
  expect(wasRestoring).toBe(true);
  expect(cluster.logOf(0)).toMatch(
    /Cannot use ".*": a restore into it was interrupted; run "kvraft snapshot restore" again/,
  );
  const doctor = await kvraft(["doctor", cluster.dataDir(0)]);
  expect(doctor).toMatchObject({ code: 1, stdout: expect.stringContaining("an unfinished restore") });
  expect(await kvraft(command)).toMatchObject({ code: 0, stderr: "" });
  expect(await kvraft(["doctor", cluster.dataDir(0)])).toMatchObject({ code: 0 });
  server!.start();
  await cluster.awaitLeader();
  expect(await cluster.client().get("old 29")).toBe("29");
}, 60_000);

test("a folder is restored into once: not again, not under a server that runs, and not over a member", async () => {
  await using cluster = await prepared();
  const again = () => kvraft(["snapshot", "restore", backup, cluster.servers[0]!.configPath]);
  expect(await again()).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("the folder is not empty"),
  });
  cluster.restart(0);
  await until("it waits", () => cluster.logOf(0).includes("waiting for"));
  expect(await again()).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("the folder is not empty"),
  });
  cluster.restart(1);
  cluster.restart(2);
  await cluster.awaitLeader();
  const { code, stderr } = await again();
  expect(code).toBe(2);
  expect(stderr).toContain("the folder is not empty");
  expect(stderr).toContain("start it with --join");
}, 60_000);

test("formation from a backup goes on after kill -9 at any moment, and forms one cluster", async () => {
  await using cluster = await prepared();
  const endMs = performance.now() + 1500;
  for (const index of [0, 1, 2]) cluster.restart(index);
  for (let round = 0; performance.now() < endMs; round++) {
    await Bun.sleep((round * 37) % 140);
    await cluster.kill9(round % 3);
    cluster.restart(round % 3);
  }
  await cluster.awaitLeader();
  const nodes = await cluster.awaitEqual();
  expect(new Set(nodes.map(({ clusterId }) => clusterId)).size).toBe(1);
  expect(new Set(nodes.map(({ nodeId }) => nodeId)).size).toBe(3);
  const client = cluster.client();
  expect(await client.get("old 11")).toBe("11");
  await client.put("after", "1");
  for (const index of [0, 1, 2]) expect(await cluster.stop(index)).toBe(0);
  for (const index of [0, 1, 2])
    expect(await kvraft(["doctor", cluster.dataDir(index)])).toMatchObject({ code: 0 });
}, 60_000);
