import { afterEach, expect, test } from "bun:test";
import { join } from "node:path";
import { BunClock } from "../../src/env/bun-clock.ts";
import { BunNet } from "../../src/env/bun-net.ts";
import { Prng } from "../../src/env/prng.ts";
import { Peers } from "../../src/server/peers.ts";
import { until } from "../rpc/echo-service.ts";
import { clusterId, heartbeatTo, own, peer } from "./peer-world.ts";

// What Peers takes from the system, with real processes and sockets: which of them a kill, a stop and a reset look like.

const children: Bun.Subprocess[] = [];
const allPeers: Peers[] = [];

afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  await Promise.all(allPeers.splice(0).map((peers) => peers.close()));
});

async function start(port: number, bootId: string): Promise<{ child: Bun.Subprocess; port: number }> {
  const script = join(import.meta.dir, "peer-main.ts");
  const child = Bun.spawn([process.execPath, script, `${port}`, peer, bootId, clusterId], { stdout: "pipe" });
  children.push(child);
  const { value } = await child.stdout.getReader().read();
  return { child, port: Number(new TextDecoder().decode(value)) };
}

function peersOf(port: number) {
  const told: { text: string; atMs: number }[] = [];
  const peers = new Peers({
    env: { net: new BunNet(), clock: new BunClock() },
    clusterId,
    nodeId: own,
    chance: new Prng(3),
    peers: [{ nodeId: peer, address: `127.0.0.1:${port}` }],
    log: () => {},
    gone: (nodeId) => told.push({ text: `gone ${nodeId}`, atMs: performance.now() }),
  });
  allPeers.push(peers);
  return { told, isConnected: () => peers.send(heartbeatTo(peer)) };
}

test("a process that is killed is gone within a part of a second, and its successor's death is told as well", async () => {
  const first = await start(0, "0000000000000001");
  const { told, isConnected } = peersOf(first.port);
  await until(isConnected, "the peer is connected");
  const killedAt = performance.now();
  first.child.kill("SIGKILL");
  await until(() => told.length > 0, "the death is told");
  expect(told[0]!.atMs - killedAt).toBeLessThan(300);
  const second = await start(first.port, "0000000000000002");
  await until(isConnected, "the peer is connected again");
  expect(told).toHaveLength(1);
  second.child.kill("SIGKILL");
  await until(() => told.length > 1, "the second death is told");
  await Bun.sleep(50);
  expect(told.map(({ text }) => text)).toEqual([`gone ${peer}`, `gone ${peer}`]);
});

test("a process that stands still is not gone", async () => {
  const { child, port } = await start(0, "0000000000000001");
  const { told, isConnected } = peersOf(port);
  await until(isConnected, "the peer is connected");
  child.kill("SIGSTOP");
  await Bun.sleep(300);
  child.kill("SIGCONT");
  await until(isConnected, "the peer is connected");
  expect(told).toEqual([]);
});
