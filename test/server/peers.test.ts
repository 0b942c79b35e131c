import { expect, test } from "bun:test";
import type { NodeId } from "../../src/raft/types.ts";
import { heartbeatTo, own, PeerWorld, peer } from "./peer-world.ts";

test("messages go to the node they are for, each kind on its lane, and nowhere before it has answered", () => {
  const world = new PeerWorld();
  expect(world.send()).toBe(false);
  const process = world.start();
  world.clock.run(2000);
  expect(world.send()).toBe(true);
  const entries = { kind: "append-entries", prev: { term: 0, index: 0 }, entries: [] } as const;
  expect(world.peers.send({ ...heartbeatTo(peer), ...entries })).toBe(true);
  world.peers.flush();
  world.clock.run(20);
  expect(process.arrived).toEqual(["control Raft.Heartbeat", "bulk Raft.AppendEntries"]);
  expect(world.lines.at(-1)).toBe("connected to sim:7001");
});

test("another node at a peer's address gets none of its messages, is told of once, and the right one is found later", () => {
  const world = new PeerWorld();
  const process = world.start("00000000000000ff");
  for (let round = 0; round < 20; round++) {
    expect(world.send()).toBe(false);
    world.clock.run(300);
  }
  expect(process.arrived).toEqual([]);
  const told = world.lines.filter((line) => line.includes("node 00000000000000ff answers there"));
  expect(told.length).toBeGreaterThan(0);
  expect(told[0]).toBe(`Cannot use sim:7001: node 00000000000000ff answers there, ${peer} was expected`);
  expect(world.lines.length).toBeLessThan(8);
  process.nodeId = peer;
  world.clock.run(3000);
  expect(world.send()).toBe(true);
  expect(process.arrived).toEqual(["control Raft.Heartbeat"]);
  expect(world.told).toEqual([]);
});

test("a message for a node that is no peer is not sent, and closing leaves nothing running", () => {
  const world = new PeerWorld();
  const process = world.connected();
  expect(world.peers.send(heartbeatTo("00000000000000dd" as NodeId))).toBe(false);
  void world.peers.close();
  world.clock.run(10_000);
  expect(world.peers.send(heartbeatTo(peer))).toBe(false);
  world.peers.update([{ nodeId: peer, address: "sim:7001" }]);
  void process.listener.close();
  world.clock.run(10_000);
  expect(world.clock.pendingCount).toBe(0);
  expect(world.told).toEqual([]);
});

test("a node that was removed is told so at each dial, and goes on dialling with a back-off", () => {
  const world = new PeerWorld();
  const process = world.start();
  process.refusal = { code: "removed", text: "Node 000000000000000a was removed from the cluster" };
  world.clock.run(10_000);
  expect(new Set(world.told)).toEqual(
    new Set(["removed: sim:7001 refused the connection: Node 000000000000000a was removed from the cluster"]),
  );
  expect(world.told.length).toBeWithin(20, 60); // Two connections, a dial in 500 to 1000 ms.
  expect(world.lines).toHaveLength(1);
});

test("what another cluster says of removed nodes is not about this one", () => {
  const world = new PeerWorld();
  const process = world.start();
  process.clusterId = "00000000000000c2";
  process.refusal = { code: "removed", text: "Node 000000000000000a was removed from the cluster" };
  world.clock.run(10_000);
  expect(world.told).toEqual([]);
});

test("a node that is removed while it is connected is told so after its connections are closed", () => {
  const world = new PeerWorld();
  const process = world.connected();
  process.refusal = { code: "removed", text: "You were removed" };
  process.listener.closeWhere((connection) => connection.hello!.nodeId === own, "a test");
  world.clock.run(30);
  expect(world.told[0]).toBe("removed: sim:7001 refused the connection: You were removed");
  expect(world.told.some((text) => text.startsWith("gone"))).toBe(false);
});
