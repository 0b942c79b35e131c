import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Prng } from "../../src/env/prng.ts";
import { ByteWriter } from "../../src/lib/codec.ts";
import { frameKind } from "../../src/rpc/frame.ts";
import type { Hello } from "../../src/rpc/hello.ts";
import { method } from "../../src/rpc/method.ts";
import { Cluster } from "./cluster.ts";
import { cleanUp } from "./processes.ts";
import { frame, getOf, hello, Stranger } from "./stranger.ts";
import { until } from "./wait.ts";
import { Workload } from "./workload.ts";

// Strangers send what they like to a server that works: it costs them their connection and one line, and nobody else
// anything. A workload runs all the while, and is checked at the end.

const seed = Number(process.env["SEED"] ?? 20_260_722);
/** Small, so that a client that does not read is soon too far behind. */
const limits = { valueBytes: "1MiB", clientOutputBytes: "4MiB" };

let cluster: Cluster;
let workload: Workload;
let leader: number;
/** Says nothing from the beginning on. */
let silent: Stranger;
beforeAll(async () => {
  cluster = await Cluster.start({ limits });
  workload = new Workload([0, 1].map(() => cluster.client({ timeoutMs: 20_000 })));
  leader = await cluster.awaitLeader();
  silent = await Stranger.connect(cluster.ports[leader]!);
}, 30_000);
afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
  await cleanUp();
});

/** What the leader has said since `mark`. */
async function says(pattern: RegExp, mark: number): Promise<void> {
  await until(
    `a line with ${pattern}`,
    () => pattern.test(cluster.logOf(leader).slice(mark)),
    3_000,
    () => cluster.logOf(leader).slice(mark),
  );
}

async function isCutOff(pattern: RegExp, ...sent: Uint8Array[]): Promise<void> {
  const mark = cluster.logOf(leader).length;
  const stranger = await Stranger.connect(cluster.ports[leader]!);
  for (const bytes of sent) stranger.send(bytes);
  await stranger.closedByServer();
  await says(pattern, mark);
}

describe("what is no frame of ours closes the connection with one line", () => {
  test("garbage before and after the hello", async () => {
    const prng = new Prng(seed);
    const garbage = () => Uint8Array.from({ length: 200 }, () => prng.int(0, 255));
    for (let round = 0; round < 20; round++) {
      await isCutOff(/Closed the connection from 127\.0\.0\.1:\d+: /, garbage());
      await isCutOff(/Closed the connection from 127\.0\.0\.1:\d+: /, hello(), garbage());
    }
    await isCutOff(/Closed the connection/, Buffer.from("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  }, 20_000);

  test("oversized frames", async () => {
    const oversized = (bytes: number) => {
      const writer = new ByteWriter(16);
      writer.u32(bytes);
      writer.skip(12);
      return writer.take();
    };
    // A stranger may claim no more than a hello takes, a client no more than the largest frame.
    await isCutOff(/a frame claims 5000 bytes, at most 4096 are allowed/, oversized(5_000));
    await isCutOff(
      /a frame claims 25165825 bytes, at most 25165824/,
      hello(),
      oversized(24 * 1024 * 1024 + 1),
    );
    await isCutOff(/a frame claims 4294967295 bytes/, hello(), oversized(0xffff_ffff));
  });

  test("damaged frames", async () => {
    const damaged = getOf("key", 1);
    damaged[20]! ^= 1;
    await isCutOff(/fails its checksum/, hello(), damaged);
    const wrongHello = hello();
    wrongHello[30]! ^= 1;
    await isCutOff(/fails its checksum/, wrongHello);
  });

  test("truncated frames", async () => {
    const mark = cluster.logOf(leader).length;
    const stranger = await Stranger.connect(cluster.ports[leader]!);
    stranger.send(hello());
    stranger.send(getOf("key", 1).subarray(0, 19));
    await Bun.sleep(50);
    stranger.end();
    await says(/the other side ended 19 bytes into a frame/, mark);
  });

  test("frames of other kinds than the connection may carry", async () => {
    await isCutOff(/the first frame is no hello/, getOf("key", 1));
    await isCutOff(/a hello arrived after the first one/, hello(), hello());
    await isCutOff(
      /cannot be read/,
      hello(),
      frame(frameKind.message, method.appendEntries, () => {}, 0),
    );
    await isCutOff(
      /cannot be read/,
      hello(),
      frame(frameKind.reply, method.get, () => {}),
    );
  });
});

describe("foreigners are refused", () => {
  test("another protocol, another cluster, another node, another role", async () => {
    const { clusterId, nodeId } = (await cluster.status())[leader]!;
    const mark = cluster.logOf(leader).length;
    const refuses = async (pattern: RegExp, fields: Partial<Hello>) => {
      const stranger = await Stranger.connect(cluster.ports[leader]!);
      stranger.send(hello(fields));
      await until("the answer", () => stranger.received > 0);
      await says(pattern, mark);
      stranger.end();
      await stranger.closedByServer();
    };
    await refuses(/versions 1 to 1, the other side 2 to 9; upgrade/, { versionMin: 2, versionMax: 9 });
    await refuses(/This is cluster .*, not 00000000deadbeef/, { clusterId: "00000000deadbeef" });
    const peer = { role: "peer", purpose: "control", nodeId: nodeId! } as const;
    await refuses(/This is node [0-9a-f]{16} itself/, { ...peer, clusterId: clusterId! });
    await refuses(/A client does not connect for bulk/, { purpose: "bulk" });
  });

  test("a request that makes no sense is answered, and the connection goes on", async () => {
    const stranger = await Stranger.connect(cluster.ports[leader]!);
    stranger.send(hello());
    await until("the answer to the hello", () => stranger.received > 0);
    for (const number of [method.get, method.put, method.delete, 9, method.form]) {
      const before = stranger.received;
      stranger.send(
        frame(frameKind.request, number, (writer) => writer.raw(new Uint8Array([255, 255, 255]))),
      );
      await until("a refusal", () => stranger.received > before, 3_000);
    }
    expect(stranger.isClosed).toBe(false);
    stranger.end();
  });
});

test("a client that never reads is cut off and others are served", async () => {
  const client = cluster.client();
  await client.put("large", new Uint8Array(1024 * 1024).fill(0x61));
  const mark = cluster.logOf(leader).length;
  const stranger = await Stranger.connect(cluster.ports[leader]!);
  stranger.send(hello());
  await until("the answer to the hello", () => stranger.received > 0);
  stranger.stopReading();
  // 100 MiB are asked for; the system's buffers take a few, the server's bound takes 4.
  for (let request = 1; request <= 100; request++) stranger.send(getOf("large", request));
  await says(/Closed the connection from 127\.0\.0\.1:\d+: \d+ bytes wait to be read/, mark);
  expect(Buffer.from((await client.getBytes("large"))!).length).toBe(1024 * 1024);
  stranger.readAgain();
  await stranger.closedByServer();
  expect(stranger.received).toBeLessThan(60 * 1024 * 1024);
}, 20_000);

test("somebody who says nothing is cut off after a while", async () => {
  await silent.closedByServer(8_000);
  await says(/no hello came within 5000 ms/, 0);
}, 12_000);

test("nobody else has noticed any of it", async () => {
  await workload.stop();
  await workload.check(cluster.client());
  expect(workload.unknownCount).toBe(0);
  expect(workload.acknowledgedCount).toBeGreaterThan(500);
  expect(await cluster.leader()).toBe(leader);
  await cluster.awaitEqual();
  for (const index of cluster.ports.keys()) expect(cluster.servers[index]!.isRunning).toBe(true);
}, 20_000);
