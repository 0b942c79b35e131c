import { expect, test } from "bun:test";
import type { ConnectFailure } from "../../src/env/net.ts";
import { firstPort, PeerWorld, peer } from "./peer-world.ts";

// Whether the process of a peer is gone: told when that is certain, once and at once, and never on a guess.

const gone = `gone ${peer}`;
/** Less than the first wait of a back-off (10 ms): what is told by then was found out by a redial without a wait. */
const atOnceMs = 8;
const longMs = 60_000;

function connectedWorld() {
  const world = new PeerWorld();
  return { world, process: world.connected() };
}

test("a process that was killed is told of once, at once", () => {
  const { world } = connectedWorld();
  world.net.kill(firstPort);
  world.clock.run(atOnceMs);
  expect(world.told).toEqual([gone]);
  world.clock.run(longMs);
  expect(world.told).toEqual([gone]);
});

test("a process that is killed just after it was connected is told of at once, too", () => {
  const world = new PeerWorld();
  world.start();
  while (!world.lines.includes("connected to sim:7001")) world.clock.run(1);
  world.net.kill(firstPort);
  world.clock.run(atOnceMs);
  expect(world.told).toEqual([gone]);
});

test("of a node that has connected to this one meanwhile nothing is told, though a dial from before is refused late", () => {
  const { world } = connectedWorld();
  const { connect } = world.net;
  world.net.connect = (_host, _port, _opened, failed: (reason: string, kind: ConnectFailure) => void) => {
    world.clock.after(50, () => failed("nothing listens there", "refused"));
    return { cancel() {} };
  };
  world.net.kill(firstPort);
  world.clock.run(20);
  world.net.connect = connect;
  world.peers.cameBack(peer);
  world.clock.run(500);
  expect(world.told).toEqual([]);
});

test("a process that stops in good order is told of as well", () => {
  const { world, process } = connectedWorld();
  void process.listener.close();
  world.clock.run(atOnceMs + 12); // Goodbyes go back and forth first.
  expect(world.told).toEqual([gone]);
});

test("each death is told, and the process in between is used", () => {
  const { world } = connectedWorld();
  for (let count = 1; count <= 4; count++) {
    world.net.kill(firstPort);
    world.clock.run(2000);
    expect(world.told).toEqual(new Array(count).fill(gone));
    const next = world.connected();
    expect(world.send()).toBe(true);
    expect(next.arrived).toEqual(["control Raft.Heartbeat"]);
  }
});

test("a connection that was reset while its process lives is no death, also fifty times in a row", () => {
  const { world, process } = connectedWorld();
  for (let round = 0; round < 50; round++) {
    world.net.reset(firstPort);
    world.clock.run([1, 3, 20, 1500][round % 4]!);
  }
  world.clock.run(3000);
  expect(world.told).toEqual([]);
  expect(world.send()).toBe(true);
  expect(process.arrived).toEqual(["control Raft.Heartbeat"]);
});

test("a death amid resets is told once", () => {
  const { world } = connectedWorld();
  for (let round = 0; round < 10; round++) {
    world.net.reset(firstPort);
    world.clock.run(7);
  }
  world.clock.run(3000);
  expect(world.told).toEqual([]);
  world.net.kill(firstPort);
  world.clock.run(longMs);
  expect(world.told).toEqual([gone]);
});

test("a process that was restarted before the redial is no death: it may lead already, and is used", () => {
  // Of a loss that is found late, on a connection that was idle: others have long followed the new process.
  const { world } = connectedWorld();
  world.net.kill(firstPort);
  const next = world.start();
  world.clock.run(longMs);
  expect(world.told).toEqual([]);
  expect(world.send()).toBe(true);
  expect(next.arrived).toEqual(["control Raft.Heartbeat"]);
});

test("a refusal that does not tell who answers says nothing of the process", () => {
  const { world, process } = connectedWorld();
  process.refusal = { code: "busy", text: "too many connections" };
  process.nodeId = "0000000000000000";
  process.bootId = "";
  world.net.reset(firstPort);
  world.clock.run(longMs);
  expect(world.told).toEqual([]);
});

test("another node at the address is a death: told once, and that node gets nothing", () => {
  const { world } = connectedWorld();
  world.net.kill(firstPort);
  const stranger = world.start("00000000000000ff");
  world.clock.run(atOnceMs);
  expect(world.told).toEqual([gone]);
  expect(world.send()).toBe(false);
  world.clock.run(longMs);
  expect(world.told).toEqual([gone]);
  expect(stranger.arrived).toEqual([]);
});

test("another node is seen as such without a boot id, too", () => {
  const { world } = connectedWorld();
  world.net.kill(firstPort);
  world.start("00000000000000ff").bootId = "";
  world.clock.run(longMs);
  expect(world.told).toEqual([gone]);
});

test("a dial that is answered when nobody waits for the verdict any more tells nothing", () => {
  for (const [delayMs, told] of [
    [900, [gone]],
    [1100, []],
  ] as const) {
    const { world } = connectedWorld();
    const connect = world.net.connect.bind(world.net);
    world.net.connect = (...dial) => {
      world.clock.after(delayMs, () => connect(...dial));
      return { cancel() {} };
    };
    world.net.kill(firstPort);
    world.start("00000000000000ff");
    world.clock.run(longMs);
    expect(world.told).toEqual([...told]);
  }
});

test("a machine that is cut off is not told of, also when it comes back with another process", () => {
  const { world } = connectedWorld();
  world.net.cutOff(firstPort);
  world.clock.run(longMs);
  expect(world.told).toEqual([]);
  world.net.heal(firstPort);
  world.clock.run(5000);
  expect(world.send()).toBe(true);
  world.net.cutOff(firstPort);
  world.clock.run(longMs);
  world.net.kill(firstPort);
  world.net.heal(firstPort);
  world.clock.run(5000);
  world.start();
  world.clock.run(5000);
  expect(world.send()).toBe(true);
  expect(world.told).toEqual([]);
});

test("a process that accepts and does not answer is not told of, nor what answers when nobody waits any more", () => {
  const { world } = connectedWorld();
  world.net.kill(firstPort);
  const acceptor = world.net.listen("sim", firstPort, () => ({
    data() {},
    drain() {},
    ended() {},
    closed() {},
  }));
  world.clock.run(longMs);
  acceptor.close();
  world.clock.run(longMs);
  expect(world.told).toEqual([]);
});

test("who hangs up before the hello is answered may be dying: the next dial tells", () => {
  const { world } = connectedWorld();
  world.net.kill(firstPort);
  const acceptor = world.net.listen("sim", firstPort, (socket) => {
    world.clock.after(1, () => socket.terminate());
    return { data() {}, drain() {}, ended() {}, closed() {} };
  });
  world.clock.run(30);
  expect(world.told).toEqual([]);
  acceptor.close();
  world.clock.run(longMs);
  expect(world.told).toEqual([gone]);
});

test("a proxy that hangs up because it does not reach its node is no death, whoever answers long after", () => {
  const { world } = connectedWorld();
  world.net.kill(firstPort);
  const acceptor = world.net.listen("sim", firstPort, (socket) => {
    world.clock.after(1, () => socket.terminate());
    return { data() {}, drain() {}, ended() {}, closed() {} };
  });
  world.clock.run(longMs);
  acceptor.close();
  world.start();
  world.clock.run(longMs);
  expect(world.send()).toBe(true);
  expect(world.told).toEqual([]);
});

test("a dial that finds no way to the machine tells nothing", () => {
  const { world } = connectedWorld();
  const { connect } = world.net;
  world.net.connect = (_host, _port, _opened, failed: (reason: string, kind: ConnectFailure) => void) => {
    world.clock.after(1, () => failed("there is no way", "unreachable"));
    return { cancel() {} };
  };
  world.net.reset(firstPort);
  world.clock.run(10);
  world.net.connect = connect;
  world.net.kill(firstPort);
  world.clock.run(longMs);
  expect(world.told).toEqual([]);
});

test("a redial that is reset while it is made, as of one who ends meanwhile, leaves it to the next one to tell", () => {
  const { world } = connectedWorld();
  const { connect } = world.net;
  world.net.connect = (_host, _port, _opened, failed: (reason: string, kind: ConnectFailure) => void) => {
    world.clock.after(1, () => failed("it was reset", "reset"));
    return { cancel() {} };
  };
  world.net.kill(firstPort);
  world.clock.run(10);
  world.net.connect = connect;
  world.clock.run(1000);
  expect(world.told).toEqual([gone]);
});

test("of a node that comes back only is told that nothing listens there", () => {
  const { world, process } = connectedWorld();
  process.bootId = "";
  world.net.reset(firstPort);
  world.clock.run(2000);
  world.net.kill(firstPort);
  const next = world.connected();
  expect(world.told).toEqual([]);
  next.bootId = "";
  world.net.reset(firstPort);
  world.clock.run(2000);
  expect(world.told).toEqual([]);
  world.net.kill(firstPort);
  world.clock.run(atOnceMs);
  expect(world.told).toEqual([gone]);
});

test("the end of the bulk connection alone is no death", () => {
  const { world, process } = connectedWorld();
  process.listener.closeWhere((connection) => connection.hello!.purpose === "bulk", "a test");
  world.clock.run(longMs);
  expect(world.told).toEqual([]);
});

test("nothing is told of a peer that is none any more", () => {
  const { world } = connectedWorld();
  world.net.kill(firstPort);
  world.peers.update([]);
  world.clock.run(longMs);
  expect(world.told).toEqual([]);
});

test("a peer that answers and hangs up is not dialled in a tight loop", () => {
  const { world, process } = connectedWorld();
  const connect = world.net.connect.bind(world.net);
  let dialCount = 0;
  world.net.connect = (...dial) => {
    dialCount++;
    return connect(...dial);
  };
  for (let ms = 0; ms < 10_000; ms++) {
    process.listener.closeWhere(() => true, "a test");
    world.clock.run(1);
  }
  expect(dialCount).toBeWithin(20, 60); // Of two connections.
  expect(world.told).toEqual([]);
});
