import { expect, test } from "bun:test";
import { Prng } from "../../src/env/prng.ts";
import { concatBytes, fromUtf8, toUtf8 } from "../../src/lib/bytes.ts";
import { type ByteWriter, readU32 } from "../../src/lib/codec.ts";
import { KvraftError } from "../../src/lib/error.ts";
import { ClientEnd } from "../../src/rpc/client-end.ts";
import { method } from "../../src/rpc/method.ts";
import type { CallResult } from "../../src/rpc/pending-calls.ts";
import { eachSeed, seeds } from "../leveldb/seed.ts";
import { EchoService, peerHello } from "../rpc/echo-service.ts";
import type { NetWeather } from "./sim-net.ts";
import {
  closedText,
  isAscending,
  message,
  patterned,
  refusedText,
  resetText,
  Side,
  sendNumbered,
  upTo,
  World,
} from "./sim-net-world.ts";

test("a write arrives after the latency, in one piece, and frames stay together", () => {
  const world = new World({ latencyMsMin: 5, latencyMsMax: 5 });
  const { near, far } = world.pair();
  const sentMs = world.timeline.nowMs;
  near.send(concatBytes(upTo(20).map((number) => message(number))));
  world.run(4);
  expect(far.pieces).toHaveLength(0);
  world.run(2);
  expect(far.timesMs).toEqual([sentMs + 5]);
  expect(far.numbers).toEqual(upTo(20));
});

test("both sides know each other's address", () => {
  const { near, far } = new World().pair();
  expect(near.socket.remote).toBe("b:5001");
  expect(far.socket.remote).toMatch(/^a:\d+$/);
});

test("the memory that was written may be reused, and what arrives may be kept", () => {
  const world = new World();
  const { near, far } = world.pair();
  const buffer = message(1);
  near.socket.write(buffer);
  buffer.fill(0xff);
  world.run(5);
  near.socket.write(message(2));
  world.run(5);
  expect(far.pieces).toEqual([message(1), message(2)]);
});

test.each([0, 1])("8 MiB arrive whole and in order through short writes, frame or not (%d)", (isFrame) => {
  eachSeed(2, (_, seed) => {
    const world = new World({ latencyMsMax: 3, isChopped: seed % 2 === 0 }, seed);
    const { near, far } = world.pair();
    const bytes = isFrame === 1 ? message(7, 8 * 1024 * 1024) : patterned(8 * 1024 * 1024);
    near.send(bytes);
    expect(near.rest.length).toBeGreaterThanOrEqual(bytes.length - 256 * 1024);
    world.run(2000);
    expect(Buffer.compare(far.received, bytes)).toBe(0);
    expect(far.told).toEqual(["data"]);
    expect(near.told).toEqual(["drain"]);
    if (isFrame === 1) expect(far.numbers).toEqual([7]);
  });
});

test("a direction takes 256 KiB, then nothing until some has arrived", () => {
  const world = new World();
  const { near } = world.pair();
  expect(near.socket.write(message(1, 300_000))).toBe(256 * 1024);
  expect(near.socket.write(message(1))).toBe(0);
  expect(near.told).toEqual([]);
  world.run(5);
  expect(near.told).toEqual(["drain"]);
  expect(near.socket.write(message(1))).toBe(24);
});

test("pieces of random size: in order, whole, more of them, and some writes take a part", () => {
  eachSeed(20, (_, seed) => {
    const world = new World({ isChopped: true, latencyMsMax: 4 }, seed);
    const { near, far } = world.pair();
    for (const number of upTo(300)) {
      near.send(message(number, 50));
      if (number % 10 === 0) world.run(1);
    }
    world.run(500);
    expect(far.numbers).toEqual(upTo(300));
    expect(near.told).toEqual(["drain"]);
    expect(far.pieces.some((piece) => piece.length % 66 !== 0)).toBe(true);
  });
});

test("a delivery is cut into pieces, and none is when nothing is chopped", () => {
  for (const isChopped of [true, false]) {
    const world = new World();
    const { near, far } = world.pair();
    for (const number of upTo(20)) near.send(message(number));
    world.weather.isChopped = isChopped;
    world.run(50);
    expect(far.numbers).toEqual(upTo(20));
    if (isChopped) expect(far.pieces.length).toBeGreaterThan(20);
    else expect(far.pieces).toHaveLength(20);
  }
});

test("a dial takes a round trip and is accepted before it is opened; the first bytes come after that", () => {
  const world = new World({ latencyMsMin: 5, latencyMsMax: 5 });
  const a = world.host("a");
  const b = world.host("b");
  const order: string[] = [];
  b.net.listen("b", 5001, (socket) => {
    order.push(`accepted ${world.timeline.nowMs}`);
    const side = new Side(world, socket);
    side.send(message(1));
    return side;
  });
  a.net.connect(
    "b",
    5001,
    (socket) => {
      order.push(`opened ${world.timeline.nowMs}`);
      const side = new Side(world, socket);
      side.onData = () => order.push(`data ${world.timeline.nowMs}`);
      return side;
    },
    (reason) => order.push(reason),
  );
  world.run(30);
  expect(order).toEqual(["accepted 5", "opened 10", "data 10"]);
});

test("a dial to nobody is refused after a round trip, on a machine that is known or not", () => {
  const world = new World();
  const a = world.host("a");
  const b = world.host("b");
  const acceptor = b.net.listen("b", 5001, () => {
    throw new Error("accepted");
  });
  acceptor.close();
  const dials = [world.dial(a, "b"), world.dial(a, "nowhere")];
  expect(dials.map(({ failures }) => failures)).toEqual([[], []]);
  world.run(10);
  for (const { failures, kinds } of dials) {
    expect(failures).toEqual([`2: ${refusedText}`]);
    expect(kinds).toEqual(["refused"]);
  }
});

test("a dial is not refused by a machine without power, behind a cut, or with a process that is busy", () => {
  const world = new World();
  const a = world.host("a");
  const dead = world.host("dead");
  const busy = world.host("busy");
  world.kill(dead, "silent");
  world.net.cut("cut", "a", "drop");
  world.net.cut("a", "held", "hold");
  world.listen(busy);
  busy.process.spend(5000);
  const dials = ["dead", "cut", "held", "busy"].map((name) => world.dial(a, name));
  world.run(4000);
  for (const { failures, side } of dials) expect([failures, side]).toEqual([[], undefined]);
});

test("a connection that is reset before the dial knows of it was not refused", () => {
  const world = new World();
  const [a, b] = [world.host("a"), world.host("b")];
  b.net.listen("b", 5001, (socket) => new Side(world, socket));
  const dialled = world.dial(a, "b");
  world.run(1);
  world.net.reset("a", "b");
  world.run(20);
  expect(dialled.side).toBeUndefined();
  expect(dialled.kinds).toEqual(["unreachable"]);
});

test("a dial through a cut of either way succeeds after the heal", () => {
  for (const mode of ["hold", "drop"] as const)
    for (const [from, to] of [
      ["a", "b"],
      ["b", "a"],
    ] as const) {
      const world = new World();
      const a = world.host("a");
      world.listen(world.host("b"));
      world.net.cut(from, to, mode);
      const dialled = world.dial(a, "b");
      world.run(1000);
      expect([dialled.openedMs, dialled.failures]).toEqual([-1, []]);
      world.net.heal(from, to);
      world.run(250);
      expect(dialled.openedMs).toBeWithin(1000, mode === "hold" ? 1003 : 1203);
    }
});

test("a refusal does not get through a cut of its way back", () => {
  for (const mode of ["hold", "drop"] as const) {
    const world = new World();
    const a = world.host("a");
    world.net.cut("nowhere", "a", mode);
    const { failures } = world.dial(a, "nowhere");
    world.run(500);
    expect(failures).toEqual([]);
    world.net.healAll();
    world.run(250);
    expect(failures).toHaveLength(1);
  }
});

test("a machine without power answers no dial until it has a process again", () => {
  const world = new World();
  const a = world.host("a");
  const b = world.host("b");
  world.listen(b);
  world.kill(b, "silent");
  const dialled = world.dial(a, "b");
  world.run(1000);
  expect([dialled.openedMs, dialled.failures]).toEqual([-1, []]);
  world.listen(world.host("b"));
  world.run(250);
  expect(dialled.openedMs).toBeWithin(1000, 1203);
});

test("a listener that dies while a dial waits for it", () => {
  const refused = new World();
  const [a, b] = [refused.host("a"), refused.host("b")];
  refused.listen(b);
  b.process.spend(100);
  const dialled = refused.dial(a, "b");
  refused.run(10);
  refused.kill(b, "reset");
  refused.run(10);
  expect(dialled.failures).toEqual([`11: ${refusedText}`]);
  expect(dialled.kinds).toEqual(["refused"]);
});

test("a listener that dies when it has accepted resets the connection; a dialler that dies is forgotten", () => {
  const world = new World();
  const a = world.host("a");
  const b = world.host("b");
  const accepted = world.listen(b);
  const first = world.dial(a, "b");
  world.run(1.5);
  expect(accepted).toHaveLength(1);
  world.kill(b, "reset");
  world.run(5);
  expect(first.side?.told).toEqual([resetText]);
  const next = world.host("b");
  const sides = world.listen(next);
  const second = world.dial(a, "b");
  world.run(1.5);
  world.kill(a, "reset");
  world.run(5);
  expect([second.side, second.failures, sides[0]?.told]).toEqual([undefined, [], [resetText]]);
});

test("a dial that was cancelled is never told of, and its late connection is dropped", () => {
  const world = new World();
  const a = world.host("a");
  const sides = world.listen(world.host("b"));
  const dials = [world.dial(a, "b"), world.dial(a, "nowhere")];
  for (const { cancel } of dials) cancel();
  world.run(20);
  expect(dials.map(({ side, failures }) => [side, failures])).toEqual([
    [undefined, []],
    [undefined, []],
  ]);
  expect(sides[0]?.told).toEqual([resetText]);
});

test("an address that is taken or not ours is refused by name, and free again after its process died", () => {
  const world = new World();
  const b = world.host("b");
  world.listen(b);
  const why = (host: string, port: number, on = b) => {
    try {
      on.net.listen(host, port, (socket) => new Side(world, socket));
      return "listening";
    } catch (error) {
      expect(error).toBeInstanceOf(KvraftError);
      return error instanceof KvraftError ? `${error.code} ${error.message}` : "";
    }
  };
  expect(why("b", 5001)).toContain("IO_ERROR Cannot listen on b:5001: the port is in use");
  expect(why("c", 5001)).toContain("IO_ERROR Cannot listen on c:5001: this machine has no such address");
  expect(why("b", 70_000)).toContain("the port is out of range");
  expect(why("b", 5002)).toBe("listening");
  expect([b.net.listen("b", 0, (socket) => new Side(world, socket)).port > 1024]).toEqual([true]);
  b.process.die();
  expect(why("b", 5001, world.host("b"))).toBe("listening");
});

test("after one side has ended the other may still send, and both close once", () => {
  const world = new World();
  const { near, far } = world.pair();
  near.socket.write(message(1).subarray(0, 10)); // Not even a header: the end sends it on its way.
  near.inside(() => near.socket.shutdown());
  expect(near.socket.write(message(1))).toBe(-1);
  world.run(5);
  expect([far.told, far.received.length]).toEqual([["data", "ended"], 10]);
  far.send(message(2, 600_000));
  world.run(50);
  expect(near.numbers).toEqual([2]);
  far.told.length = 0;
  far.inside(() => far.socket.shutdown());
  world.run(50);
  expect(near.told).toEqual(["data", closedText]);
  expect(far.told).toEqual([closedText]);
});

test("terminate tells its own side once and later, and the other side that it was reset", () => {
  const world = new World();
  const { near, far } = world.pair();
  near.inside(() => near.socket.terminate());
  near.inside(() => near.socket.terminate());
  expect(near.told).toEqual([]);
  world.run(5);
  expect([near.told, far.told]).toEqual([[closedText], [resetText]]);
});

test("nothing but closed is told after terminate, and after a close nothing at all", () => {
  eachSeed(10, (_, seed) => {
    const weather = { duplicatePerMille: 500, delayPerMille: 300, delayMsMax: 50, isChopped: true };
    const world = new World(weather, seed);
    const { near, far } = world.pair();
    sendNumbered(world, near, 50);
    near.send(concatBytes(upTo(50).map((number) => message(number))));
    near.socket.shutdown();
    while (!far.told.includes("ended")) world.timeline.runNext();
    far.onData = () => far.told.push("DATA AFTER THE END");
    world.run(100);
    expect(far.told.at(-1)).toBe("ended");
    near.onData = () => near.socket.terminate();
    far.send(concatBytes([message(1), message(2)]));
    far.send(message(3));
    world.run(100);
    expect(near.told.slice(-2)).toEqual(["data", closedText]);
  });
});

const text = (value: string) => (body: ByteWriter) => body.raw(toUtf8(value));

/** Real ends and a real listener: 200 rounds of a call to be echoed and a message, in weather. */
async function talk(weather: Partial<NetWeather>, seed: number) {
  const world = new World({ latencyMsMax: 3, ...weather }, seed);
  const [a, b] = [world.host("a"), world.host("b")];
  const service = new EchoService({ host: "b", port: 5001 }, { net: b.net, clock: b.process });
  const end = new ClientEnd({ net: a.net, clock: a.process }, { host: "b", port: 5001 }, peerHello, {
    keepConnected: { chance: new Prng(seed) },
  });
  world.run(50);
  const results: (CallResult | undefined)[] = [];
  for (const number of upTo(200)) {
    results.push(undefined);
    void end.call(method.get, text(`call ${number}`), 100).then((result) => {
      results[number - 1] = result;
    });
    end.send(method.requestVote, (body) => body.u32(number));
    end.flush();
    world.run(3);
  }
  world.run(200);
  return { world, end, service, results };
}

test("real ends and a listener talk through it, whatever the weather", async () => {
  for (const seed of seeds(5)) {
    const weather = { lossPerMille: 100, duplicatePerMille: 100, delayPerMille: 100, delayMsMax: 20 };
    const { end, service, results } = await talk({ ...weather, isChopped: true }, seed);
    const shown = results.map((result) => (result?.ok === true ? fromUtf8(result.body) : result?.reason));
    const answered = shown.filter((line, at) => line === `call ${at + 1}`).length;
    const late = shown.filter((line) => line === "deadline").length;
    expect([seed, answered + late]).toEqual([seed, 200]);
    expect(answered).toBeWithin(120, 190);
    expect(new Set(service.messages).size).toBeWithin(150, 196);
    expect(isAscending(service.messages)).toBe(false);
    expect([end.isConnected, service.closings]).toEqual([true, []]);
  }
});

test("without faults every call is answered and every message comes once, in order", async () => {
  const { service, results } = await talk({}, 1);
  expect(results.map((result) => result?.ok === true && fromUtf8(result.body))).toEqual(
    upTo(200).map((number) => `call ${number}`),
  );
  expect(service.messages).toEqual(upTo(200));
});

test("an end that closes gracefully is seen to end, by both", async () => {
  const { world, end, service } = await talk({ isChopped: true }, 3);
  const closed: string[] = [];
  void end.close().then(() => closed.push("closed"));
  world.run(100);
  expect(closed).toEqual(["closed"]);
  expect(service.closings.map(({ cause }) => cause)).toEqual(["ended"]);
});

test("one seed gives one history, another one another", () => {
  const history = (seed: number) => {
    const weather = { lossPerMille: 100, duplicatePerMille: 100, delayPerMille: 100, delayMsMax: 9 };
    const world = new World({ ...weather, latencyMsMax: 5, isChopped: true }, seed);
    const { near, far } = world.pair();
    sendNumbered(world, near, 300);
    world.run(50);
    return [far.timesMs, far.pieces.map((piece) => readU32(concatBytes([piece, new Uint8Array(4)]), 0))];
  };
  const [first = 0] = seeds(1);
  expect(history(first)).toEqual(history(first));
  expect(history(first)).not.toEqual(history(first + 1));
});
