import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "../../src/lib/checksum.ts";
import { kvraft } from "./binary.ts";
import { Cluster } from "./cluster.ts";
import { readSegments } from "./log-files.ts";
import { freePorts } from "./ports.ts";
import { cleanUp, temporaryFolder } from "./processes.ts";
import { until } from "./wait.ts";

// What cannot work is refused at the start: status 2, a message that says what to do, and nothing is changed.

let cluster: Cluster;
/** A cluster of one, stopped in order; tests work on copies of its folder. */
let single: Cluster;
beforeAll(async () => {
  [cluster, single] = await Promise.all([Cluster.start(), Cluster.start({ nodes: 1 })]);
  await cluster.client().put("key", "value");
  await single.client().put("key", "value");
  await single.stop(0);
}, 30_000);
afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
  await single?.[Symbol.asyncDispose]();
  await cleanUp();
});

/** Runs a server that is expected not to start, on this configuration. */
async function refused(config: object): Promise<string> {
  const path = join(temporaryFolder(), "server.yml");
  writeFileSync(path, JSON.stringify(config));
  const { stdout, stderr, code } = await kvraft(["server", path]);
  expect({ stdout, code, stderr }).toEqual({ stdout: "", code: 2, stderr });
  expect(stderr).not.toContain("bug in kvraft");
  return stderr;
}

function singleServer(dataDir: string, port = freePorts(1)[0]!) {
  return { me: 0, servers: [{ ip: "127.0.0.1", port }], dataDir };
}

function copyOf(from: string): string {
  const folder = join(temporaryFolder(), "data");
  cpSync(from, folder, { recursive: true });
  return folder;
}

describe("a server that cannot start says why, with status 2", () => {
  test("its port is in use", async () => {
    const dataDir = join(temporaryFolder(), "new");
    const port = cluster.ports[0]!;
    const said = await refused(singleServer(dataDir, port));
    expect(said).toContain(`Cannot listen on 127.0.0.1:${port}: the port is in use by another process`);
    // The folder is as good as new.
    const again = await refused(singleServer(dataDir, port));
    expect(again).toBe(said);
  });

  test("its data folder is locked", async () => {
    const said = await refused(singleServer(cluster.dataDir(0)));
    expect(said).toContain(`Cannot open "${cluster.dataDir(0)}": the folder is locked by another process`);
    expect(await cluster.client().get("key")).toBe("value");
  });

  test("its data folder belongs to another node", async () => {
    const servers = freePorts(3).map((port) => ({ ip: "127.0.0.1", port }));
    const said = await refused({ me: 2, servers, dataDir: copyOf(single.dataDir(0)) });
    expect(said).toContain("belongs to the server in place 0");
  });

  test("its log belongs to another cluster", async () => {
    const dataDir = copyOf(single.dataDir(0));
    const other = await Cluster.start({ nodes: 1 });
    await other.stop(0);
    rmSync(join(dataDir, "log"), { recursive: true });
    cpSync(join(other.dataDir(0), "log"), join(dataDir, "log"), { recursive: true });
    expect(await refused(singleServer(dataDir))).toMatch(/belongs to cluster [0-9a-f]{16}, this cluster is/);
  }, 20_000);

  test("its identity is of a newer format", async () => {
    const dataDir = copyOf(single.dataDir(0));
    const identity = readFileSync(join(dataDir, "identity"));
    identity[4] = 9;
    identity.writeUInt32LE(crc32(identity.subarray(0, -4), identity.readUInt32LE(0)), identity.length - 4);
    writeFileSync(join(dataDir, "identity"), identity);
    expect(await refused(singleServer(dataDir))).toMatch(/its identity has format 9, this build knows \d/);
  });

  test("its log is of a newer format", async () => {
    const dataDir = copyOf(single.dataDir(0));
    const { path } = readSegments(dataDir).at(-1)!;
    const bytes = readFileSync(path);
    bytes.writeUInt16LE(3, 4);
    bytes.writeUInt32LE(crc32(bytes.subarray(0, 4092)), 4092);
    writeFileSync(path, bytes);
    expect(await refused(singleServer(dataDir))).toContain("is of format 3 of Raft group 0");
    expect(readFileSync(path).equals(bytes)).toBe(true);
  });

  test("its identity is damaged", async () => {
    for (const offset of [0, 5, 8, 20]) {
      const dataDir = copyOf(single.dataDir(0));
      const identity = readFileSync(join(dataDir, "identity"));
      identity[offset] = identity[offset]! ^ 4;
      writeFileSync(join(dataDir, "identity"), identity);
      expect(await refused(singleServer(dataDir))).toMatch(/Cannot (read|use) ".*; replace this node: /);
    }
  });

  test("its identity or its log is gone", async () => {
    for (const parts of [["identity"], ["log"], ["log", "store"]]) {
      const dataDir = copyOf(single.dataDir(0));
      for (const part of parts) rmSync(join(dataDir, part), { recursive: true });
      expect(await refused(singleServer(dataDir))).toMatch(/Cannot use ".*; replace this node: /);
    }
  });

  test("its data folder is a file", async () => {
    const dataDir = join(temporaryFolder(), "file");
    writeFileSync(dataDir, "");
    expect(await refused(singleServer(dataDir))).toContain(dataDir);
    expect(await refused(singleServer(join(dataDir, "below")))).toContain(dataDir);
  });

  test("its data folder cannot be written", async () => {
    // Root may write everywhere but here.
    expect(await refused(singleServer("/proc/kvraft"))).toContain("/proc/kvraft");
    expect(await refused(singleServer("/sys/kernel/kvraft"))).toContain("/sys/kernel/kvraft");
  });
});

test("a store that is gone is made again from the log", async () => {
  rmSync(join(single.dataDir(0), "store"), { recursive: true });
  single.restart(0);
  await single.awaitLeader();
  expect(await single.client().get("key")).toBe("value");
  await single.stop(0);
}, 20_000);

test("a node whose file lists servers of another cluster says so, and stays with its members", async () => {
  const other = await Cluster.start({ nodes: 3 });
  await other.client().put("other", "value");
  expect(await other.stop(0)).toBe(0);
  other.configure(0, [other.ports[0]!, cluster.ports[1]!, cluster.ports[2]!]);
  other.restart(0);
  await until("it says so", () => other.logOf(0).includes("the members count"), 10_000);
  await other.awaitEqual();
  expect(await other.client().get("other")).toBe("value");
  expect(await cluster.client().get("other")).toBeUndefined();
  await other[Symbol.asyncDispose]();
}, 30_000);

test("a node that was moved to another port is found there by the others, also when it is the only one", async () => {
  const moved = await Cluster.start({ nodes: 3 });
  await moved.client().put("key", "value");
  const follower = ((await moved.leader())! + 1) % 3;
  expect(await moved.stop(follower)).toBe(0);
  const [port] = freePorts(1);
  moved.configure(follower, moved.ports.with(follower, port!));
  moved.restart(follower);
  await until(
    "it is found",
    () => moved.logOf(follower).includes(`looks for this node at 127.0.0.1:${port} now`),
    10_000,
  );
  const client = moved.client();
  await until(
    "it is level",
    async () => {
      const { members } = await client.members();
      return members.some(({ address, lag }) => address === `127.0.0.1:${port}` && lag === 0);
    },
    10_000,
  );
  await moved[Symbol.asyncDispose]();
  const dataDir = copyOf(single.dataDir(0));
  await using alone = new Cluster({ nodes: 1, dataDir: () => dataDir });
  alone.restart(0);
  await alone.awaitLeader();
  await until(
    "its address",
    async () => (await alone.client().members()).members[0]?.address === alone.address(0),
  );
}, 30_000);

test("a node whose folder was emptied never votes again and says how to be replaced", async () => {
  await cluster.client().put("before", "the loss");
  const leader = await cluster.awaitLeader();
  const lost = (leader + 1) % 3;
  const other = 3 - leader - lost;
  await cluster.stop(lost);
  const kept = `${cluster.dataDir(lost)}.kept`;
  renameSync(cluster.dataDir(lost), kept);
  mkdirSync(cluster.dataDir(lost));
  cluster.restart(lost);
  // It knows this only once it is running and has asked its peers, but the end is the same.
  expect(await cluster.servers[lost]!.ended()).toBe(2);
  expect(cluster.logOf(lost)).toContain("a server that lost its folder must not vote again");
  expect(cluster.logOf(lost)).toMatch(
    /Bring this server back as a new member: empty the folder, start it with --join .*member replace/,
  );
  // With the only other voter gone it must not make a majority with the one that is left.
  await cluster.kill9(other);
  cluster.restart(lost);
  expect(await cluster.servers[lost]!.ended()).toBe(2);
  await until("the leader stepped down", async () => (await cluster.leader()) === undefined);
  expect(await cluster.cli(["--timeout", "300ms", "get", "before"])).toMatchObject({ code: 3 });
  // With its folder back it is itself again.
  rmSync(cluster.dataDir(lost), { recursive: true });
  renameSync(kept, cluster.dataDir(lost));
  cluster.restart(lost);
  await cluster.awaitLeader();
  expect(await cluster.client().get("before")).toBe("the loss");
  cluster.restart(other);
  await cluster.awaitEqual();
}, 40_000);

describe("problems of a configuration come together, with file, line and what is wanted", () => {
  const server = async (text: string) => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "server.yml"), text);
    const outcomes = await Promise.all(
      [
        ["server", "server.yml"],
        ["server", "--check-config", "server.yml"],
      ].map((args) => kvraft(args, { cwd: folder })),
    );
    for (const outcome of outcomes) expect(outcome).toMatchObject({ stdout: "", code: 2 });
    expect(outcomes[0]!.stderr).toBe(outcomes[1]!.stderr);
    return outcomes[0]!.stderr;
  };

  test("several at once", async () => {
    const said = await server(
      "me: 7\nservers:\n  - { ip: 127.0.0.1, port: 70000 }\n  - { ip: 127.0.0.1, prot: 1 }\ntimngs: {}\n" +
        "timings:\n  heartbeat: 700ms\n",
    );
    expect(said).toContain("problems");
    for (const line of [
      "server.yml:1: me: found 7",
      "server.yml:3: ",
      "server.yml:4: ",
      "server.yml:5: ",
      "server.yml:7: ",
    ])
      expect(said).toContain(line);
  });

  test("no YAML, no mapping, nothing at all", async () => {
    for (const text of ["me: [", "- 1\n", "", "me: 0\nme: 1\nservers: []\n", "\u0000"])
      expect(await server(text)).toContain("server.yml");
  });

  test("no such file, a folder, a file that is no text", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "bytes.yml"), new Uint8Array([0xff, 0xfe, 0x00, 0xd8]));
    for (const path of [join(folder, "absent.yml"), folder, join(folder, "bytes.yml")]) {
      const { stderr, code } = await kvraft(["server", path]);
      expect(code).toBe(2);
      expect(stderr).toContain(path);
      expect(stderr).not.toContain("bug in kvraft");
    }
  });

  test("the client's file as well", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "client.yml"), "servers:\n  - { ip: 127.0.0.1 }\ntimeout: soon\n");
    const { stderr, code } = await kvraft(["-c", "client.yml", "get", "a"], { cwd: folder });
    expect(code).toBe(2);
    expect(stderr).toContain("client.yml:2: ");
    expect(stderr).toContain("client.yml:3: timeout");
  });
});
