import { expect, test } from "bun:test";
import { Prng } from "../../src/env/prng.ts";
import type { Heartbeat, NodeId } from "../../src/raft/types.ts";
import type { Frame } from "../../src/rpc/frame.ts";
import { Listener } from "../../src/rpc/listener.ts";
import { methodName } from "../../src/rpc/method.ts";
import { Peers } from "../../src/server/peers.ts";
import { ManualClock, MemoryNet } from "../rpc/memory-net.ts";

const own = "000000000000000a" as NodeId;
const peer = "000000000000000b" as NodeId;
const clusterId = "00000000000000c1";
const heartbeat: Heartbeat = { kind: "heartbeat", from: own, to: peer, term: 1, commit: 0, context: 1 };

class Scene {
  readonly clock = new ManualClock();
  readonly net = new MemoryNet(this.clock, new Prng(1), 1 << 16);
  readonly lines: string[] = [];
  readonly arrived: string[] = [];
  nodeId = peer as string;
  listener: Listener<unknown> | undefined;
  readonly peers = new Peers({
    env: this,
    clusterId,
    nodeId: own,
    chance: new Prng(2),
    peers: [{ nodeId: peer, address: { host: "sim", port: 7001 } }],
    log: (line) => this.lines.push(line),
  });

  listen(): void {
    this.listener = new Listener(
      this,
      { host: "sim", port: 7001, roles: ["peer"] },
      {
        greet: () => ({ clusterId, nodeId: this.nodeId, keyBytesMax: 0, valueBytesMax: 0, leader: "" }),
        frame: (connection, frame: Frame) =>
          this.arrived.push(`${connection.hello!.purpose} ${methodName(frame.method)}`),
        closed: () => {},
        log: () => {},
      },
    );
  }

  send(): boolean {
    const isSent = this.peers.send(heartbeat);
    this.peers.flush();
    this.clock.run(20);
    return isSent;
  }
}

test("messages go to the node they are for, each kind on its lane, and nowhere before it has answered", () => {
  const scene = new Scene();
  expect(scene.send()).toBe(false);
  scene.listen();
  scene.clock.run(2000);
  expect(scene.send()).toBe(true);
  const entries = { kind: "append-entries", prev: { term: 0, index: 0 }, entries: [] } as const;
  expect(scene.peers.send({ ...heartbeat, ...entries })).toBe(true);
  scene.peers.flush();
  scene.clock.run(20);
  expect(scene.arrived).toEqual(["control Raft.Heartbeat", "bulk Raft.AppendEntries"]);
  expect(scene.lines.at(-1)).toBe("connected to sim:7001");
});

test("another node at a peer's address gets none of its messages, is told of once, and the right one is found later", () => {
  const scene = new Scene();
  scene.nodeId = "00000000000000ff";
  scene.listen();
  for (let round = 0; round < 20; round++) {
    expect(scene.send()).toBe(false);
    scene.clock.run(300);
  }
  expect(scene.arrived).toEqual([]);
  const told = scene.lines.filter((line) => line.includes("node 00000000000000ff answers there"));
  expect(told.length).toBeGreaterThan(0);
  expect(told[0]).toBe(`Cannot use sim:7001: node 00000000000000ff answers there, ${peer} was expected`);
  expect(scene.lines.length).toBeLessThan(8);
  scene.nodeId = peer;
  scene.clock.run(3000);
  expect(scene.send()).toBe(true);
  expect(scene.arrived).toEqual(["control Raft.Heartbeat"]);
});

test("a message for a node that is no peer is not sent, and closing leaves nothing running", () => {
  const scene = new Scene();
  scene.listen();
  scene.clock.run(1000);
  expect(scene.peers.send({ ...heartbeat, to: "00000000000000dd" as NodeId })).toBe(false);
  void scene.peers.close();
  scene.clock.run(10_000);
  expect(scene.peers.send(heartbeat)).toBe(false);
  void scene.listener!.close();
  scene.clock.run(10_000);
  expect(scene.clock.pendingCount).toBe(0);
});
