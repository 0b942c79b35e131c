import { afterAll, expect, test } from "bun:test";
import { cpSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Cluster } from "./cluster.ts";
import { freePorts } from "./ports.ts";
import { cleanUp } from "./processes.ts";
import { ServerProcess } from "./server-process.ts";
import { until } from "./wait.ts";

// A data folder is copied, or set back to an earlier state, and started: it has forgotten what its node promised. Whatever the
// order, no acknowledged write may be lost.

afterAll(cleanUp);

const timings = { heartbeat: "20ms", electionMin: "150ms", electionMax: "300ms" };
const keyCount = 30;

async function putAll(cluster: Cluster, name: string): Promise<void> {
  const client = cluster.client({ timeoutMs: 20_000 });
  for (let at = 0; at < keyCount; at++) await client.put(`${name} ${at}`, `value ${at}`);
}

async function expectAll(cluster: Cluster, name: string): Promise<void> {
  const client = cluster.client({ timeoutMs: 20_000 });
  for (let at = 0; at < keyCount; at++)
    expect(await client.get(`${name} ${at}`), `${name} ${at}`).toBe(`value ${at}`);
}

function copyFolder(cluster: Cluster, index: number): string {
  const copy = join(cluster.folder, `copy of ${index}`);
  cpSync(cluster.dataDir(index), copy, { recursive: true });
  return copy;
}

/** Puts a copy in the place of a stopped node's folder. */
function setBack(cluster: Cluster, index: number, copy: string): void {
  renameSync(cluster.dataDir(index), `${cluster.dataDir(index)} aside`);
  cpSync(copy, cluster.dataDir(index), { recursive: true });
}

/** A server that uses a copy of node `index`'s folder at a port of its own. */
function copyOf(cluster: Cluster, index: number, dataDir: string): ServerProcess {
  const path = join(cluster.folder, "copy");
  const config = JSON.parse(readFileSync(cluster.servers[index]!.configPath, "utf8"));
  config.servers[index].port = freePorts(1)[0];
  writeFileSync(`${path}.yml`, JSON.stringify({ ...config, dataDir }));
  return new ServerProcess(`${path}.yml`, `${path}.txt`);
}

const saysWhatToDo = /it is a copy of the node's folder, or was set back.*must not vote.*--join/s;

test("the folder of a stopped node, set back to a copy of it, is condemned, and nothing is lost", async () => {
  await using cluster = await Cluster.start({ timings });
  await cluster.stop(2);
  const copy = copyFolder(cluster, 2);
  cluster.restart(2);
  await cluster.awaitEqual();
  // The copy knows nothing of these: it and the node that is down here would be a majority without them.
  await cluster.stop(1);
  await putAll(cluster, "key");
  await cluster.kill9(2);
  setBack(cluster, 2, copy);
  cluster.restart(2);
  cluster.restart(1);
  // The other two are a majority again, and their leader says the last word.
  expect(await cluster.servers[2]!.ended(20_000)).toBe(2);
  expect(cluster.logOf(2)).toMatch(saysWhatToDo);
  await until(
    "the refusal in the log",
    () => /Refused .*went back|Refused .*copy/.test(cluster.logOf(0)),
    5000,
  );
  await expectAll(cluster, "key");
  cluster.restart(2);
  expect(await cluster.servers[2]!.ended()).toBe(2);
  // The folder that ran last is as good as ever.
  rmSync(cluster.dataDir(2), { recursive: true });
  renameSync(`${cluster.dataDir(2)} aside`, cluster.dataDir(2));
  cluster.restart(2);
  await cluster.awaitCaughtUp(2);
  await expectAll(cluster, "key");
}, 60_000);

test("a node that was set back while the third is away makes no majority with it, and loses nothing", async () => {
  await using cluster = await Cluster.start({ timings });
  await cluster.stop(2);
  const copy = copyFolder(cluster, 2);
  cluster.restart(2);
  await cluster.awaitEqual();
  await cluster.stop(1);
  await putAll(cluster, "key");
  // All that remembers is node 0, and it is there.
  await cluster.kill9(0);
  await cluster.kill9(2);
  setBack(cluster, 2, copy);
  for (const index of [0, 2, 1]) cluster.restart(index);
  await expectAll(cluster, "key");
}, 60_000);

test("original and copy run together: the copy waits while the original answers, and is refused when it does not", async () => {
  await using cluster = await Cluster.start({ timings });
  await cluster.stop(2);
  const copy = copyFolder(cluster, 2);
  cluster.restart(2);
  await cluster.awaitEqual();
  await putAll(cluster, "before");
  const second = copyOf(cluster, 2, copy);
  second.start();
  await until(
    "the copy waits",
    () => second.log.includes("this one waits"),
    10_000,
    () => second.log,
  );
  const two = /Two processes say that they are node/;
  await until(
    "a member tells of both",
    () => [0, 1].some((index) => two.test(cluster.logOf(index))),
    10_000,
    () => [0, 1].map((index) => cluster.logOf(index)).join("\n--\n") + second.log,
  );
  await cluster.stop(1);
  await putAll(cluster, "key");
  await cluster.kill9(2);
  cluster.restart(1);
  await expectAll(cluster, "key");
  expect(await second.ended(20_000)).toBe(2);
  expect(second.log).toMatch(saysWhatToDo);
  cluster.restart(2);
  await cluster.awaitEqual();
  await expectAll(cluster, "before");
  await expectAll(cluster, "key");
}, 60_000);

test("a copy that was made of a running node is refused for its log, though it knows all starts", async () => {
  await using cluster = await Cluster.start({ timings });
  await putAll(cluster, "before");
  await cluster.awaitEqual();
  const copy = copyFolder(cluster, 2);
  await putAll(cluster, "key");
  await cluster.awaitEqual();
  await cluster.kill9(2);
  setBack(cluster, 2, copy);
  rmSync(join(cluster.dataDir(2), "LOCK"), { force: true });
  cluster.restart(2);
  expect(await cluster.servers[2]!.ended(20_000)).toBe(2);
  expect(cluster.logOf(2)).toMatch(/had the log up to entry \d+ when it was started/);
  await expectAll(cluster, "key");
  expect(existsSync(join(cluster.dataDir(2), "condemned-boots"))).toBe(true);
}, 60_000);

test("a restart loop changes nothing: a node that died right after each of 50 starts comes back as itself", async () => {
  await using cluster = await Cluster.start({ timings });
  await putAll(cluster, "key");
  await cluster.kill9(2);
  const path = join(cluster.dataDir(2), "boots");
  const before = readFileSync(path).length;
  for (let starts = 1; starts <= 50; starts++) {
    cluster.restart(2);
    await until("the next start", () => readFileSync(path).length >= before + 12 * starts, 10_000);
    await cluster.kill9(2);
  }
  cluster.restart(2);
  await cluster.awaitCaughtUp(2);
  await expectAll(cluster, "key");
  expect(cluster.logOf(2)).not.toMatch(/refuses this process/);
}, 90_000);

test("new members that never met the old process refuse a folder that was set back", async () => {
  await using cluster = await Cluster.start({ timings });
  await cluster.stop(2);
  const copy = copyFolder(cluster, 2);
  cluster.restart(2);
  await cluster.awaitEqual();
  await putAll(cluster, "key");
  await cluster.kill9(2);
  // Both others give way to new machines while it is down.
  for (const old of [0, 1]) {
    const index = cluster.add();
    cluster.join(index, old);
    await until(
      `server ${index} is a learner`,
      async () => (await cluster.cli(["member", "list"])).stdout.includes(cluster.address(index)),
      20_000,
    );
    const { code, stderr } = await cluster.cli([
      "--timeout",
      "30s",
      "member",
      "replace",
      `${cluster.address(old)}=${cluster.address(index)}`,
    ]);
    expect(code, stderr).toBe(0);
  }
  // The old ones know better as long as they are there.
  for (const old of [0, 1]) await cluster.kill9(old);
  setBack(cluster, 2, copy);
  // It knows the new members from nobody but those who dial it.
  cluster.restart(2);
  const refused = () => [3, 4].some((index) => /Refused .*copy/s.test(cluster.logOf(index)));
  await until("the new members refuse it", refused, 20_000, () => cluster.logOf(2).slice(-3000));
  // All members that its folder knows are gone: so it hears of it from those who dial it.
  const isTold = () => /says that it refuses this process: .*must not vote.*--join/s.test(cluster.logOf(2));
  await until("it says so, too", isTold, 5_000, () =>
    [2, 3, 4].map((index) => cluster.logOf(index).slice(-2500)).join("\n== "),
  );
  await expectAll(cluster, "key");
}, 90_000);
