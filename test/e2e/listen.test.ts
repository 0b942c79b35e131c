import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { BunClock } from "../../src/env/bun-clock.ts";
import { BunNet } from "../../src/env/bun-net.ts";
import { Prng } from "../../src/env/prng.ts";
import { statusOf } from "../../src/kv/status.ts";
import type { ByteWriter } from "../../src/lib/codec.ts";
import { ClientEnd } from "../../src/rpc/client-end.ts";
import { makeHello, noId } from "../../src/rpc/hello.ts";
import { encodeJoin } from "../../src/rpc/member-requests.ts";
import { method } from "../../src/rpc/method.ts";
import { encodeRequestHead } from "../../src/rpc/request.ts";
import { Cluster } from "./cluster.ts";
import { atEnd, cleanUp } from "./processes.ts";
import { FrameProxy } from "./proxy.ts";
import { until } from "./wait.ts";

// Goal: a server is found at its `ip` and `port` while it listens somewhere else, and nobody is told the any-address.
// Method: each server listens on a port of its own, and is found at that of a proxy, as behind a port that is forwarded.

let cluster: Cluster;
const proxies: FrameProxy[] = [];

beforeAll(async () => {
  cluster = new Cluster();
  const prng = new Prng(1);
  for (const port of cluster.ports) proxies.push(new FrameProxy(port, prng.fork()));
  atEnd(() => {
    for (const proxy of proxies) proxy.close();
  });
  const servers = proxies.map(({ port }) => ({ ip: "127.0.0.1", port }));
  for (const [me, server] of cluster.servers.entries()) {
    const config = { me, servers, listen: cluster.address(me), dataDir: cluster.dataDir(me) };
    writeFileSync(server.configPath, JSON.stringify(config));
    server.start();
  }
  await cluster.awaitLeader();
});

afterAll(cleanUp);

test("a cluster forms, moves the lead and tells its addresses where its servers are found, not where they listen", async () => {
  const leader = await cluster.awaitLeader();
  for (const [index, { port }] of proxies.entries())
    expect(cluster.logOf(index)).toContain(
      `listens on ${cluster.address(index)}, and is found at 127.0.0.1:${port}`,
    );
  await cluster.kill9(leader);
  await cluster.client({ timeoutMs: 20_000 }).put("still", "found");
  cluster.restart(leader);
  const told = (await cluster.client({ timeoutMs: 20_000 }).members()).members.map(({ address }) => address);
  expect(told.sort()).toEqual(proxies.map(({ port }) => `127.0.0.1:${port}`).sort());
  // One endpoint is enough to learn the others, and what is learned can be dialled.
  const put = await cluster.cli(["-e", told[0]!, "get", "still"]);
  expect(put).toMatchObject({ code: 0, stdout: "found\n" });
});

/** A connection to the server at place `index` that says hello like this. */
function endWith(index: number, fields: { nodeId: string; clusterId: string; address: string }): ClientEnd {
  const start = { boot: { number: 1, id: "00000000000000fe" }, term: 0, index: 0 };
  const hello = makeHello({ ...fields, role: "peer", purpose: "control", start });
  return dial(index, hello);
}

function dial(index: number, hello: ReturnType<typeof makeHello>): ClientEnd {
  const address = { host: "127.0.0.1", port: cluster.ports[index]! };
  const end = new ClientEnd({ clock: new BunClock(), net: new BunNet() }, address, hello);
  atEnd(() => end.close());
  return end;
}

const strangerId = "00000000000000fd";
const everywhere = ["0.0.0.0:7001", "[::]:7001", "[0:0::0]:7001", "[::ffff:0.0.0.0]:7001"];

test("a node that says that it is found at the any-address is turned away, with a text that says what to do", async () => {
  const [node] = (await cluster.client({ timeoutMs: 10_000 }).members()).members;
  for (const address of everywhere) {
    for (const nodeId of [strangerId, node!.nodeId]) {
      const end = endWith(0, { nodeId, clusterId: await clusterId(), address });
      const answer = await end.call(method.status, (body: ByteWriter) => encodeRequestHead(body, 2000), 2000);
      expect(answer).toMatchObject({ ok: false });
      expect(String((answer as { text: string }).text)).toContain(
        `Nobody can find node ${nodeId} at ${address}; set its ip`,
      );
    }
  }
});

test("a server that asks to join from the any-address is refused, and no member is added", async () => {
  const hello = makeHello({ clusterId: noId, nodeId: noId, role: "client", purpose: "client" });
  const leader = await cluster.awaitLeader();
  const end = dial(leader, hello);
  for (const address of everywhere) {
    const write = (body: ByteWriter) => {
      encodeRequestHead(body, 2000);
      encodeJoin(body, { nodeId: strangerId, address });
    };
    const answer = await end.call(method.join, write, 2000);
    expect(answer.ok && statusOf(answer.body[0]!)).toBe("ErrMembers");
  }
  const { members } = await cluster.client({ timeoutMs: 10_000 }).members();
  expect(members.length).toBe(3);
});

test("a server whose ip is the any-address, or that joins there, ends with status 2 and names the key listen", async () => {
  const index = cluster.add();
  const { configPath } = cluster.servers[index]!;
  const port = cluster.ports[index]!;
  const servers = [{ ip: "0.0.0.0", port }];
  writeFileSync(configPath, JSON.stringify({ me: 0, servers, dataDir: cluster.dataDir(index) }));
  const any = await cluster.cli(["server", configPath]);
  expect(any.code).toBe(2);
  expect(any.stderr).toContain("listen");
  cluster.configure(index);
  const joining = await cluster.cli(["server", configPath, "--join", "0.0.0.0:7001"]);
  expect(joining.code).toBe(2);
  expect(joining.stderr).toContain('--join is "0.0.0.0:7001"');
});

async function clusterId(): Promise<string> {
  const end = dial(0, makeHello({ clusterId: noId, nodeId: noId, role: "client", purpose: "client" }));
  end.connect();
  return await until("the answer to a hello", () => end.helloReply?.clusterId);
}
