import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { Prng } from "../../src/env/prng.ts";
import { Cluster } from "./cluster.ts";
import { groupHeaderBytes, readSegments } from "./log-files.ts";
import { cleanUp, temporaryFolder } from "./processes.ts";

// The Raft log of a single node is damaged on purpose. kill -9 leaves the log ahead of the store, as a power cut does.

const seed = Number(process.env["SEED"] ?? 20_260_722);

/** A node that was killed with several segments and groups; each test works on the same copy of its folder. */
let cluster: Cluster;
let pristine: string;
/** Keys in the order in which they were written, one group each. */
const keys = Array.from({ length: 12 }, (_, number) => `key ${number}`);

beforeAll(async () => {
  // Fast elections: each of many starts waits for one.
  const timings = { heartbeat: "10ms", electionMin: "50ms", electionMax: "100ms" };
  cluster = await Cluster.start({ nodes: 1, timings });
  const client = cluster.client();
  for (const [place, key] of keys.entries()) {
    // A restart begins a segment.
    if (place % 4 === 3) {
      await cluster.kill9(0);
      cluster.restart(0);
      await cluster.awaitLeader();
    }
    await client.put(key, `value of ${key} ${"x".repeat(200)}`);
  }
  await cluster.kill9(0);
  pristine = `${temporaryFolder()}/data`;
  cpSync(cluster.dataDir(0), pristine, { recursive: true });
}, 30_000);

afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
  await cleanUp();
});

async function restore(): Promise<void> {
  await cluster.kill9(0);
  rmSync(cluster.dataDir(0), { recursive: true });
  cpSync(pristine, cluster.dataDir(0), { recursive: true });
}

function flipBit(path: string, offset: number, bit: number): void {
  const bytes = readFileSync(path);
  bytes[offset] = bytes[offset]! ^ (1 << bit);
  writeFileSync(path, bytes);
}

/** What the node says in one start. */
async function saidAtStart(run: () => Promise<void>): Promise<string> {
  const before = cluster.logOf(0).length;
  cluster.restart(0);
  await run();
  return cluster.logOf(0).slice(before);
}

describe("a torn tail starts and says what it cut", () => {
  const last = () => readSegments(pristine).at(-1)!;
  const inLastGroup = (name: string, damage: (path: string, offset: number, bytes: number) => void) =>
    test(name, async () => {
      await restore();
      const { groups, name: file } = last();
      const group = groups.at(-1)!;
      expect(groups.length).toBeGreaterThan(1);
      damage(`${cluster.dataDir(0)}/log/${file}`, group.offset, groupHeaderBytes + group.payloadBytes);
      const said = await saidAtStart(() => cluster.awaitLeader().then(() => {}));
      expect(said).toContain("Cut a torn write off the Raft log");
      expect(said).toContain(`${file}" at byte ${group.offset}`);
      expect(said).toContain(`of group ${group.number}`);
      const client = cluster.client();
      // Of the last put nothing is left, of the others everything.
      for (const key of keys.slice(0, -1)) expect(await client.get(key)).toStartWith(`value of ${key}`);
      expect(await client.get(keys.at(-1)!)).toBeUndefined();
      await client.put("after", "the cut");
      await cluster.kill9(0);
      // Once cut it stays cut, and is not told again.
      const saidThen = await saidAtStart(() => cluster.awaitLeader().then(() => {}));
      expect(saidThen).not.toContain("Cut a torn write");
      expect(await client.get("after")).toBe("the cut");
      await client.close();
      await cluster.kill9(0);
    }, 20_000);
  inLastGroup("one byte is missing at the end", (path, offset, bytes) =>
    truncateSync(path, offset + bytes - 1),
  );
  inLastGroup("only its first byte was written", (path, offset) => truncateSync(path, offset + 1));
  inLastGroup("only half of its header was written", (path, offset) => truncateSync(path, offset + 16));
  inLastGroup("its payload is zeros", (path, offset, bytes) => {
    const content = readFileSync(path);
    content.fill(0, offset + groupHeaderBytes, offset + bytes);
    writeFileSync(path, content);
  });
  inLastGroup("its header is zeros", (path, offset) => {
    const content = readFileSync(path);
    content.fill(0, offset, offset + groupHeaderBytes);
    writeFileSync(path, content);
  });
  inLastGroup("a bit of its payload is flipped", (path, offset) => flipBit(path, offset + 40, 3));
  inLastGroup("a bit of its length is flipped", (path, offset) => flipBit(path, offset + 16, 1));
});

test("a log that lost what its store holds refuses to start", async () => {
  await restore();
  const said = await saidAtStart(async () => {
    await cluster.awaitLeader();
    expect(await cluster.stop(0)).toBe(0);
  });
  expect(said).toContain("stopping: SIGTERM");
  const segment = readSegments(cluster.dataDir(0)).at(-1)!;
  const group = segment.groups.at(-1)!;
  // The new leader's no-op, which was applied and stored in order.
  truncateSync(segment.path, group.offset);
  expect(segment.groups.length).toBeGreaterThan(1);
  const refusal = await saidAtStart(async () => expect(await cluster.servers[0]!.ended()).toBe(2));
  expect(refusal).toMatch(/Cannot use ".*\/log": .*; replace this node: /);
}, 20_000);

describe("a flipped bit anywhere but in the last group refuses to start and names file and offset", () => {
  const refuses = async (path: string, offset: number, bit: number, pattern: RegExp) => {
    await restore();
    flipBit(path, offset, bit);
    const damaged = readFileSync(path);
    const tale = `seed ${seed}: bit ${bit} of byte ${offset} of ${path}`;
    const before = cluster.logOf(0).length;
    cluster.restart(0);
    expect(await cluster.servers[0]!.ended(), tale).toBe(2);
    const said = cluster.logOf(0).slice(before);
    expect(said, tale).toMatch(pattern);
    expect(said, tale).toContain(path);
    // Nothing was repaired, nothing was cut.
    expect(readFileSync(path).equals(damaged), tale).toBe(true);
  };

  test("in the headers of segments", async () => {
    const prng = new Prng(seed);
    // From src/raftlog/segment.ts: magic, ids, groups, link, indexes, terms, vote, commit, zeros, checksum.
    const fields = [0, 3, 8, 15, 16, 23, 24, 32, 40, 44, 52, 60, 68, 69, 77, 500, 4091, 4092, 4095];
    const segments = readSegments(pristine);
    expect(segments.length).toBeGreaterThan(2);
    for (const offset of fields) {
      const segment = segments[prng.int(0, segments.length - 1)]!;
      const path = `${cluster.dataDir(0)}/log/${segment.name}`;
      await refuses(path, offset, prng.int(0, 7), /is damaged at byte 0: /);
    }
    // The format is looked at before the checksum, for a later one may place it elsewhere.
    const path = `${cluster.dataDir(0)}/log/${segments[1]!.name}`;
    for (const offset of [4, 6]) await refuses(path, offset, 2, /is of format \d+ of Raft group \d+, /);
  }, 50_000);

  test("in the groups", async () => {
    const prng = new Prng(seed);
    const groups = readSegments(pristine).flatMap(({ name, groups }) =>
      groups.map((group) => ({ ...group, name })),
    );
    groups.pop();
    expect(groups.length).toBeGreaterThan(12);
    const places: { group: (typeof groups)[number]; within: number }[] = [];
    // Every field of a header, and its length twice: magic, format, flags, number, length, link, both checksums.
    for (const within of [0, 3, 4, 6, 8, 15, 16, 17, 18, 19, 20, 24, 28, 31])
      places.push({ group: groups[prng.int(0, groups.length - 1)]!, within });
    for (const group of groups)
      places.push({ group, within: groupHeaderBytes + prng.int(0, group.payloadBytes - 1) });
    for (const { group, within } of places) {
      const path = `${cluster.dataDir(0)}/log/${group.name}`;
      const pattern = new RegExp(`is damaged at byte ${group.offset}: expected group ${group.number}`);
      await refuses(path, group.offset + within, prng.int(0, 7), pattern);
    }
  }, 50_000);
});
