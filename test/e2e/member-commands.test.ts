import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Cluster } from "./cluster.ts";
import { freePorts } from "./ports.ts";
import { cleanUp, temporaryFolder } from "./processes.ts";
import { ServerProcess } from "./server-process.ts";
import { until } from "./wait.ts";

// Servers join, become voters, replace others and leave, by the commands that people have for it.

let cluster: Cluster;

beforeAll(async () => {
  cluster = await Cluster.start({ limits: { memtableBytes: "256KiB" } });
  const client = cluster.client();
  for (let at = 0; at < 200; at++) await client.put(`key ${at}`, "v".repeat(1000));
}, 60_000);

afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
  await cleanUp();
});

interface Member {
  readonly nodeId: string;
  readonly address: string;
  readonly role: string;
  readonly lag?: number;
}

async function members(): Promise<Member[]> {
  const { stdout, code } = await cluster.cli(["member", "list", "-o", "json"]);
  expect(code).toBe(0);
  return JSON.parse(stdout).members;
}

/** Starts a server that joins the cluster by its first server; yields its address. */
function startJoining(via = 0): { address: string; server: ServerProcess } {
  const folder = temporaryFolder();
  const [port] = freePorts(1) as [number];
  const config = { me: 0, servers: [{ ip: "127.0.0.1", port }], dataDir: join(folder, "data") };
  writeFileSync(join(folder, "server.yml"), JSON.stringify(config));
  const wrapper = ["sh", "-c", `exec "$@" --join ${cluster.address(via)}`, "sh"];
  const server = new ServerProcess(join(folder, "server.yml"), join(folder, "server.txt"), wrapper);
  server.start();
  return { address: `127.0.0.1:${port}`, server };
}

test("member list shows three voters", async () => {
  const { stdout, stderr, code } = await cluster.cli(["member", "list"]);
  expect({ stderr, code }).toEqual({ stderr: "", code: 0 });
  const [header, ...rows] = stdout.trimEnd().split("\n");
  expect(header).toMatch(/^ID +ADDRESS +ROLE +MATCH +LAG$/);
  expect(rows.map((row) => row.split(/ +/).slice(1, 3).join(" "))).toEqual(
    [0, 1, 2].map((index) => `${cluster.address(index)} voter`),
  );
});

test("leader transfer hands over to the one that is named", async () => {
  const to = ((await cluster.leader())! + 1) % 3;
  const { stdout, code } = await cluster.cli(["leader", "transfer", cluster.address(to)]);
  expect({ stdout, code }).toEqual({ stdout: `${cluster.address(to)}\n`, code: 0 });
  expect(await cluster.leader()).toBe(to);
}, 30_000);

test("a server joins as a learner, is added when it has caught up, and is removed again; each may be repeated", async () => {
  const { address, server } = startJoining();
  const added = await cluster.cli(["member", "add", address], { timeoutMs: 60_000 });
  expect(added).toMatchObject({ code: 0, stderr: "" });
  const id = (await members()).find((member) => member.address === address)!.nodeId;
  expect(added.stdout).toBe(`${address} is a voter now (${id})\n`);
  expect(await cluster.cli(["member", "add", address])).toMatchObject({
    code: 0,
    stdout: "",
    stderr: `kvraft: ${address} is a voter already (${id})\n`,
  });
  expect((await members()).map(({ role }) => role)).toEqual(["voter", "voter", "voter", "voter"]);
  const removed = await cluster.cli(["member", "remove", id]);
  expect(removed).toMatchObject({ code: 0, stdout: `${address} is no member any more (${id})\n` });
  expect((await cluster.cli(["member", "remove", id])).code).toBe(0);
  await until(
    "the end of the removed server",
    () => !server.isRunning,
    20_000,
    () => server.log,
  );
}, 120_000);

test("member replace swaps a server that is gone for a new one in one change, and nothing is lost", async () => {
  const old = ((await cluster.leader())! + 1) % 3;
  await cluster.kill9(old);
  const { address, server } = startJoining((old + 1) % 3);
  const replaced = await cluster.cli(["member", "replace", `${cluster.address(old)}=${address}`], {
    timeoutMs: 60_000,
  });
  expect(replaced).toMatchObject({ code: 0, stderr: "" });
  expect((await members()).map((member) => member.address)).not.toContain(cluster.address(old));
  // With another one gone the new one is needed for a majority.
  const third = [0, 1, 2].find((index) => index !== old)!;
  await cluster.kill9(third);
  const client = cluster.client({ timeoutMs: 20_000 });
  for (let at = 0; at < 200; at++) expect(await client.get(`key ${at}`)).toBe("v".repeat(1000));
  await client.put("after", "1");
  cluster.restart(third);
  expect(server.isRunning).toBe(true);
}, 120_000);

/** A command that must be refused, with words that it says, and that leaves the members as they are. */
async function expectRefused(args: readonly string[], ...words: string[]): Promise<void> {
  const before = await members();
  const { code, stdout, stderr } = await cluster.cli(args);
  expect({ args, code, stdout }).toEqual({ args, code: 2, stdout: "" });
  for (const word of words) expect(stderr).toContain(word);
  const shape = (list: Member[]) => list.map(({ nodeId, address, role }) => `${nodeId} ${address} ${role}`);
  expect(shape(await members())).toEqual(shape(before));
}

test("a member command that is mistyped, repeated or in the wrong order is refused or does what was asked", async () => {
  const [one, two, three] = (await members()) as [Member, Member, Member];
  const via = [0, 1, 2].find((index) =>
    [one, two, three].some((member) => member.address === cluster.address(index)),
  );
  const { address, server } = startJoining(via);
  const learner = await until("the learner", async () =>
    (await members()).find((member) => member.address === address),
  );
  // NEW is a voter: three voters would become two.
  await expectRefused(["member", "replace", `${three.address}=${two.address}`], "is a voter already");
  await expectRefused(["member", "replace", `${three.nodeId}=${two.nodeId}`], "one voter fewer");
  // OLD is mistyped: three voters would become four.
  await expectRefused(["member", "replace", `127.0.0.1:9=${address}`], "has no such member");
  await expectRefused(["member", "replace", `${address}=${address}`], "OLD and NEW are the same node");
  await expectRefused(["member", "replace", `${one.nodeId}=${one.address}`], "OLD and NEW are the same node");
  await expectRefused(["member", "replace", `${address}=${one.address}`], "is a learner");
  await expectRefused(
    ["member", "replace", `${one.address}=${address}`, `${two.address}=${address}`],
    "two places",
  );
  await expectRefused(["member", "replace", `${one.nodeId.slice(0, 8)}=${address}`], "16 hexadecimal digits");
  await expectRefused(["member", "promote", "127.0.0.1:9"], "it is no member");
  await expectRefused(["member", "remove", one.address, "127.0.0.1:9"], "has no such member");
  await expectRefused(
    ["member", "remove", ...(await members()).map(({ nodeId }) => nodeId)],
    "Nobody would be left",
  );
  await expectRefused(["leader", "transfer", "127.0.0.1:9"], "it is no member");
  await expectRefused(["leader", "transfer", address], "is a learner, and only a voter can lead");

  const pair = `${three.address}=${address}`;
  const replaced = await cluster.cli(["member", "replace", pair], { timeoutMs: 60_000 });
  expect(replaced).toMatchObject({ code: 0, stderr: "" });
  expect(replaced.stdout).toBe(
    `${address} is a voter now (${learner.nodeId})\n${three.address} is no member any more (${three.nodeId})\n`,
  );
  // Repeated, by address and by id.
  for (const again of [pair, `${three.nodeId}=${learner.nodeId}`])
    expect(await cluster.cli(["member", "replace", again])).toMatchObject({
      code: 0,
      stdout: "",
      stderr: expect.stringContaining(`${three.address} was removed already (${three.nodeId})`),
    });
  await expectRefused(
    ["member", "replace", `${one.address}=${three.address}`],
    "was removed from the cluster",
  );
  await expectRefused(["member", "add", three.address], "was removed from the cluster");
  expect((await cluster.cli(["member", "remove", three.address])).code).toBe(0);
  expect((await members()).filter(({ role }) => role === "voter").length).toBe(3);
  expect(server.isRunning).toBe(true);
}, 60_000);
