import { expect, test } from "bun:test";
import { Prng } from "../../src/env/prng.ts";
import type { NodeId } from "../../src/raft/types.ts";
import { method } from "../../src/rpc/method.ts";
import type { PeerAddress } from "../../src/server/peers.ts";
import { firstPort, heartbeatTo, type PeerProcess, PeerWorld, peer } from "./peer-world.ts";

const second = "000000000000000c" as NodeId;
const at = (nodeId: NodeId, port: number): PeerAddress => ({ nodeId, address: `sim:${port}` });

function dialsOf(world: PeerWorld): number[] {
  const ports: number[] = [];
  const connect = world.net.connect.bind(world.net);
  world.net.connect = (host, port, opened, failed) => {
    ports.push(port);
    return connect(host, port, opened, failed);
  };
  return ports;
}

test("who is new is dialled, who is gone is closed, and the others' connections stay as they are", () => {
  const world = new PeerWorld();
  const first = world.connected();
  const joining = world.start(second, 7002);
  const dialled = dialsOf(world);
  world.peers.update([at(peer, firstPort), at(second, 7002)]);
  world.clock.run(20);
  expect(dialled).toEqual([7002, 7002]);
  expect([world.send(), world.send(second)]).toEqual([true, true]);
  world.peers.update([at(second, 7002), at(peer, firstPort)]);
  expect([world.send(), world.send(second)]).toEqual([true, true]);
  world.peers.update([at(second, 7002)]);
  expect([world.send(), world.send(second)]).toEqual([false, true]);
  world.clock.run(10_000);
  expect(first.listener.connectionCount).toBe(0);
  expect(dialled).toEqual([7002, 7002]);
  expect(joining.arrived).toHaveLength(3);
  expect(world.told).toEqual([]);
  world.peers.update([at(peer, firstPort), at(second, 7002)]);
  world.clock.run(20);
  expect(world.send()).toBe(true);
});

test("who has moved is dialled at the new address, and gets nothing at the old one", () => {
  const world = new PeerWorld();
  const before = world.connected();
  world.peers.update([at(peer, 7002)]);
  expect(world.send()).toBe(false);
  const after = world.connected(peer, 7002);
  expect(world.send()).toBe(true);
  expect([before.arrived.length, after.arrived.length]).toEqual([0, 1]);
  expect(before.listener.connectionCount).toBe(0);
  expect(world.told).toEqual([]);
});

test("two peers that swap their addresses get their own messages only", () => {
  const world = new PeerWorld();
  world.connected();
  const other = world.start(second, 7002);
  world.peers.update([at(peer, firstPort), at(second, 7002)]);
  world.clock.run(50);
  world.net.kill(firstPort);
  world.net.kill(7002);
  world.peers.update([at(peer, 7002), at(second, firstPort)]);
  const [there, here] = [world.start(peer, 7002), world.start(second, firstPort)];
  world.clock.run(3000);
  expect([world.send(), world.send(second)]).toEqual([true, true]);
  expect([there.meantFor, here.meantFor, other.meantFor]).toEqual([[0xb], [0xc], []]);
  // Both ends of the old connections are nobody's business any more.
  expect(world.told).toEqual([]);
});

test("closing waits for all connections, those of earlier peers too", async () => {
  const world = new PeerWorld();
  const processes = [world.start(), world.start(second, 7002)];
  world.peers.update([at(peer, firstPort), at(second, 7002)]);
  world.clock.run(3000);
  const counts = () => processes.map(({ listener }) => listener.connectionCount);
  const hold = processes.map((_, place) => world.net.holdBack(firstPort + place));
  world.peers.update([at(second, 7002)]);
  let isClosed = false;
  const closed = world.peers.close().then(() => {
    isClosed = true;
  });
  const isClosedAfter = async (release: () => void) => {
    release();
    world.clock.run(1000);
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    return isClosed;
  };
  expect(await isClosedAfter(() => {})).toBe(false);
  expect(counts()).toEqual([2, 2]);
  expect(await isClosedAfter(hold[1]!)).toBe(false);
  expect(counts()).toEqual([2, 0]);
  expect(await isClosedAfter(hold[0]!)).toBe(true);
  await closed;
});

// Goal (R17): what belongs to an old connection is never taken for a new peer's. Method: nodes and addresses change all
// the time while messages and calls flow to all of them; every message says whom it is for, and every answer whom it is
// from, so each process and each caller checks what comes.
test.each([1, 2, 3, 4, 5])("amid changes everybody gets what is meant for him, seed %d", async (seed) => {
  const prng = new Prng(seed);
  const world = new PeerWorld();
  const nodes = [peer, second, "000000000000000d" as NodeId, "000000000000000e" as NodeId];
  const processes = new Map<number, PeerProcess>();
  const everyProcess = new Set<PeerProcess>();
  const ports = [7001, 7002, 7003, 7004, 7005];
  const wrongAnswers: string[] = [];
  const calls: Promise<void>[] = [];
  let answerCount = 0;

  const restart = (port: number): void => {
    world.net.kill(port);
    const process = world.start(prng.pick(nodes), port);
    processes.set(port, process);
    everyProcess.add(process);
  };
  /** Mostly where the processes are, and now and then where they are not. */
  const update = (): void => {
    const where = nodes.filter(() => prng.chance(4, 5)).map((nodeId) => at(nodeId, placeOf(nodeId)));
    world.peers.update(where);
  };
  const placeOf = (nodeId: NodeId): number => {
    const places = ports.filter((port) => processes.get(port)?.nodeId === nodeId);
    return places.length > 0 && prng.chance(4, 5) ? prng.pick(places) : prng.pick(ports);
  };
  const call = (nodeId: NodeId): void => {
    const asked = Number.parseInt(nodeId, 16);
    calls.push(
      world.peers
        .call(nodeId, method.openSnapshot, (body) => body.u32(asked), 200)
        .then((result) => {
          if (!result.ok) return;
          answerCount++;
          const [echo, answerer] = [result.body[0], result.body[4]];
          if (echo !== asked || answerer !== asked) wrongAnswers.push(`${asked}: ${result.body}`);
        }),
    );
  };

  for (const port of ports) restart(port);
  for (let step = 0; step < 3000; step++) {
    const event = prng.int(1, 100);
    if (event <= 2) restart(prng.pick(ports));
    else if (event <= 4) world.net.reset(prng.pick(ports));
    else if (event <= 8) update();
    const nodeId = prng.pick(nodes);
    world.peers.send(heartbeatTo(nodeId));
    if (prng.chance(1, 3)) call(nodeId);
    if (prng.chance(2, 3)) world.peers.flush();
    world.clock.run(prng.int(0, 4));
  }
  world.clock.run(5000);
  await Promise.all(calls);
  let messageCount = 0;
  for (const { nodeId, meantFor } of everyProcess) {
    messageCount += meantFor.length;
    expect(meantFor.filter((asked) => asked !== Number.parseInt(nodeId, 16))).toEqual([]);
  }
  expect(wrongAnswers).toEqual([]);
  expect(Math.min(messageCount, answerCount)).toBeGreaterThan(100);
});
