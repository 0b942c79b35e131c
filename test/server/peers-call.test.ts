import { expect, test } from "bun:test";
import type { NodeId } from "../../src/raft/types.ts";
import { method } from "../../src/rpc/method.ts";
import type { CallResult } from "../../src/rpc/pending-calls.ts";
import { firstPort, PeerWorld, peer } from "./peer-world.ts";

/** What the call comes to while `ms` go by. */
async function resultOf(world: PeerWorld, nodeId: NodeId, during: () => void, ms = 100): Promise<CallResult> {
  const call = world.peers.call(nodeId, method.openSnapshot, (body) => body.u32(7), 1000);
  during();
  world.clock.run(ms);
  return call;
}

const nothing = () => {};

test("a call is answered on the bulk connection", async () => {
  const world = new PeerWorld();
  const process = world.connected();
  const result = await resultOf(world, peer, nothing);
  expect(result.ok && [...result.body]).toEqual([7, 0, 0, 0, 0xb]);
  expect(process.arrived).toEqual(["bulk KVServer.OpenSnapshot"]);
});

test("a call to who is no peer, or is not connected, fails at once with nothing sent", async () => {
  const world = new PeerWorld();
  expect(await resultOf(world, "00000000000000dd" as NodeId, nothing, 0)).toEqual({
    ok: false,
    reason: "unreachable",
    wasSent: false,
    text: "Node 00000000000000dd is no peer",
  });
  const unconnected = {
    ok: false,
    reason: "unreachable",
    wasSent: false,
    text: `Cannot call sim:7001: node ${peer} is not connected`,
  } as const;
  expect(await resultOf(world, peer, nothing, 0)).toEqual(unconnected);
  const process = world.connected();
  expect(process.arrived).toEqual([]); // It was not kept for later.
  world.net.kill(firstPort);
  const lost = await resultOf(world, peer, nothing, 0); // Before the loss is known.
  world.clock.run(100);
  expect(await resultOf(world, peer, nothing, 0)).toEqual(unconnected);
  expect(lost.ok).toBe(false);
});

test("another node at the address gets no call", async () => {
  const world = new PeerWorld();
  const stranger = world.start("00000000000000ff");
  for (let round = 0; round < 500; round++) {
    expect((await resultOf(world, peer, nothing, 3)).ok).toBe(false);
  }
  expect(stranger.arrived).toEqual([]);
});

test("a call whose connection is lost fails, and the process that answers next does not get it", async () => {
  const world = new PeerWorld();
  world.connected().mustAnswer = false;
  let next = world.start(peer, 9999);
  const result = await resultOf(
    world,
    peer,
    () => {
      world.clock.run(10);
      world.net.kill(firstPort);
      next = world.start();
    },
    5000,
  );
  expect(result).toMatchObject({ ok: false, reason: "lost", wasSent: true });
  expect(next.arrived).toEqual([]);
});

test("a call that is not answered ends at its deadline, and one to a peer that leaves or moves ends with it", async () => {
  const world = new PeerWorld();
  world.connected().mustAnswer = false;
  expect(await resultOf(world, peer, nothing, 2000)).toMatchObject({ ok: false, reason: "deadline" });
  const moved = await resultOf(world, peer, () => {
    world.peers.update([{ nodeId: peer, address: "sim:7002" }]);
  });
  expect(moved).toMatchObject({ ok: false, reason: "closed" });
  world.connected(peer, 7002).mustAnswer = false;
  expect(await resultOf(world, peer, () => world.peers.update([]))).toMatchObject({
    ok: false,
    reason: "closed",
  });
});
