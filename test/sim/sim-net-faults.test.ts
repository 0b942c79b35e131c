import { expect, test } from "bun:test";
import { frameKind } from "../../src/rpc/frame.ts";
import { eachSeed } from "../leveldb/seed.ts";
import {
  frame,
  isAscending,
  message,
  patterned,
  refusedText,
  resetText,
  sendNumbered,
  upTo,
  World,
} from "./sim-net-world.ts";

test("frames that are lost leave the rest in order", () => {
  const world = new World({ lossPerMille: 300 });
  const { near, far } = world.pair();
  sendNumbered(world, near, 1000);
  expect(far.numbers.length).toBeWithin(600, 800);
  expect(isAscending(far.numbers)).toBe(true);
  expect(world.net.counts).toMatchObject({ delivered: far.numbers.length, duplicated: 0, delayed: 0 });
  world.run(5);
  expect(world.net.counts.lost + far.numbers.length).toBe(1000);
});

test("frames that are doubled come again, later", () => {
  const world = new World({ duplicatePerMille: 300, delayMsMax: 20 });
  const { near, far } = world.pair();
  sendNumbered(world, near, 1000);
  world.run(50);
  expect(new Set(far.numbers).size).toBe(1000);
  expect(isAscending([...new Set(far.numbers)])).toBe(true);
  expect(far.numbers.length).toBe(1000 + world.net.counts.duplicated);
  expect(world.net.counts.duplicated).toBeWithin(200, 400);
  expect(isAscending(far.numbers)).toBe(false);
});

test("frames that are delayed are overtaken, and none is lost", () => {
  const world = new World({ delayPerMille: 200, delayMsMax: 30 });
  const { near, far } = world.pair();
  sendNumbered(world, near, 1000);
  world.run(50);
  expect(isAscending(far.numbers)).toBe(false);
  expect(far.numbers.toSorted((a, b) => a - b)).toEqual(upTo(1000));
  expect(world.net.counts.delayed).toBeWithin(120, 280);
});

test("only some of what is written together is lost, and a late frame never tears another", () => {
  eachSeed(20, (_, seed) => {
    const weather = { lossPerMille: 100, duplicatePerMille: 100, delayPerMille: 100, delayMsMax: 5 };
    const world = new World({ ...weather, latencyMsMax: 3, isChopped: true }, seed);
    const { near, far } = world.pair();
    const bodyBytes = (number: number) => (number % 50 === 0 ? 400_000 : number % 300);
    for (const number of upTo(400)) {
      near.send(message(number, bodyBytes(number)));
      if (number % 20 === 0) world.run(2);
    }
    world.run(1000);
    expect(far.error).toBeUndefined();
    const { lost, duplicated } = world.net.counts;
    expect(far.numbers.length).toBe(400 - lost + duplicated);
    expect(lost * duplicated * world.net.counts.delayed).toBeGreaterThan(0);
  });
});

test.each([frameKind.hello, frameKind.helloReply, frameKind.goodbye])(
  "frames of kind %d keep their order whatever the weather",
  (kind) => {
    const world = new World({ lossPerMille: 500, duplicatePerMille: 500, delayPerMille: 500, delayMsMax: 9 });
    const { near, far } = world.pair();
    sendNumbered(world, near, 200, kind);
    world.run(20);
    expect(far.numbers).toEqual(upTo(200));
  },
);

test("a request is never doubled: its sender relies on it", () => {
  const world = new World({ duplicatePerMille: 1000 });
  const { near, far } = world.pair();
  sendNumbered(world, near, 50, frameKind.request);
  world.run(20);
  expect(far.numbers).toEqual(upTo(50));
});

test("bytes that are no frames pass as they are", () => {
  const world = new World({ lossPerMille: 900, duplicatePerMille: 900, delayPerMille: 900, delayMsMax: 9 });
  const { near, far } = world.pair();
  const bytes = patterned(100_000);
  for (let at = 0; at < bytes.length; at += 7000) near.send(bytes.subarray(at, at + 7000));
  world.run(100);
  expect(far.received).toEqual(bytes);
});

test("a cut holds what is sent and was on its way, one way only, and all of it arrives after the heal", () => {
  const world = new World();
  const { near, far } = world.pair();
  near.send(message(1));
  world.net.cut("a", "b", "hold");
  sendNumbered(world, near, 20);
  far.send(message(9));
  world.run(500);
  expect(far.numbers).toEqual([]);
  expect(near.numbers).toEqual([9]);
  expect(world.net.counts.held).toBe(21);
  world.net.heal("a", "b");
  world.run(5);
  expect(far.numbers).toEqual([1, ...upTo(20)]);
  expect(world.net.counts.lost).toBe(0);
});

test("a cut that drops loses what is sent and was on its way, one way only, and what comes after it arrives", () => {
  const world = new World();
  const { near, far } = world.pair();
  near.send(message(1));
  world.net.cut("a", "b", "drop");
  near.send(frame(frameKind.hello, 2));
  far.send(message(9));
  world.run(500);
  near.send(message(3)); // On its way when the cut ends: lost too.
  world.net.heal("a", "b");
  near.send(message(4));
  world.run(5);
  expect(far.numbers).toEqual([4]);
  expect(near.numbers).toEqual([9]);
  expect(world.net.counts.lost).toBe(3);
});

test("a cut that drops in the middle of a frame does not tear it", () => {
  const world = new World();
  const { near, far } = world.pair();
  near.send(message(1, 600_000));
  world.run(1.5);
  world.net.cut("a", "b", "drop");
  world.run(50);
  expect(far.received.length).toBeWithin(1, 600_000);
  world.net.healAll();
  near.send(message(2));
  world.run(50);
  expect(far.numbers).toEqual([1, 2]);
});

test("the end of a side gets through after the heal, a reset in a cut that drops never", () => {
  for (const mode of ["hold", "drop"] as const) {
    const world = new World();
    const { near, far } = world.pair();
    world.net.cut("a", "b", mode);
    near.socket.shutdown();
    world.run(100);
    expect(far.told).toEqual([]);
    world.net.heal("a", "b");
    world.run(5);
    expect(far.told).toEqual(["ended"]);
    world.net.cut("a", "b", mode);
    near.socket.terminate();
    world.run(100);
    world.net.heal("a", "b");
    world.run(5);
    expect(far.told).toEqual(mode === "hold" ? ["ended", resetText] : ["ended"]);
    // What forgot the connection answers what it hears with a reset.
    far.socket.write(message(1));
    world.run(5);
    expect(far.told).toEqual(["ended", resetText]);
  }
});

test("a clogged way takes longer until it is unclogged, one way only", () => {
  const world = new World();
  const { near, far } = world.pair();
  world.net.clog("a", "b", 50);
  const sentMs = world.timeline.nowMs;
  near.send(message(1));
  far.send(message(1));
  world.run(60);
  expect([far.timesMs[0], near.timesMs[0]]).toEqual([sentMs + 51, sentMs + 1]);
  world.net.unclog("a", "b");
  near.send(message(2));
  world.run(2);
  expect(far.numbers).toEqual([1, 2]);
});

test("a reset tells both sides once, and only connections of those two", () => {
  const world = new World();
  const { a, near, far } = world.pair();
  world.listen(world.host("c"));
  const other = world.dial(a, "c");
  world.run(5);
  near.send(message(1));
  world.net.reset("b", "a");
  expect([near.told, far.told]).toEqual([[], []]);
  world.run(5);
  expect([near.told, far.told, other.side?.told]).toEqual([[resetText], [resetText], []]);
  expect(near.socket.write(message(1))).toBe(-1);
  expect(world.net.counts.resets).toBe(2);
});

test("a killed process tells the others by its system, after what it had sent; nothing is told to it", () => {
  const world = new World();
  const { b, near, far } = world.pair();
  far.send(message(1));
  near.send(message(2));
  world.kill(b, "reset");
  world.run(20);
  expect(near.told).toEqual(["data", resetText]);
  expect(far.told).toEqual([]);
  const again = world.dial(world.host("a"), "b");
  world.run(20);
  expect(again.failures).toHaveLength(1);
  expect(again.failures[0]).toContain(refusedText);
  expect(again.kinds).toEqual(["refused"]);
});

test("after a power cut nobody is told; a new process's system answers the next write with a reset", () => {
  const world = new World();
  const { b, near } = world.pair();
  near.send(message(1, 400_000));
  world.kill(b, "silent");
  world.run(1000);
  // What nobody takes vanishes.
  expect([near.told, near.rest.length]).toEqual([["drain"], 0]);
  near.told.length = 0;
  world.listen(world.host("b"));
  world.run(1000);
  expect(near.told).toEqual([]);
  near.send(message(2));
  world.run(5);
  expect(near.told).toEqual([resetText]);
});

test("what a process would have sent after its death never leaves", () => {
  for (const how of ["reset", "silent"] as const) {
    const world = new World();
    const { b, near, far } = world.pair();
    far.send(message(1));
    b.process.spend(10); // A sync, say: it is done when its process is dead.
    far.send(message(2));
    world.run(5);
    world.kill(b, how);
    world.run(50);
    expect(near.numbers).toEqual([1]);
  }
});

test("a side that would have closed after its death is closed by its system", () => {
  const world = new World();
  const { b, near, far } = world.pair();
  b.process.spend(10);
  far.socket.terminate();
  world.kill(b, "reset");
  world.run(50);
  expect(near.told).toEqual([resetText]);
});

test("a busy process hears late and in order, and what it sends leaves when it is done", () => {
  const world = new World();
  const { b, near, far } = world.pair();
  const startMs = world.timeline.nowMs;
  b.process.spend(100);
  far.send(message(7));
  near.send(message(1));
  world.run(10);
  near.send(message(2));
  near.socket.shutdown();
  world.run(80);
  expect([far.told, near.told]).toEqual([[], []]);
  world.run(20);
  expect(far.numbers).toEqual([1, 2]);
  expect(far.timesMs[0]).toBe(startMs + 100);
  expect(far.told).toEqual(["data", "ended"]);
  expect(near.timesMs).toEqual([startMs + 101]);
});

test("a process that does not read blocks the one that writes", () => {
  const world = new World();
  const { b, near, far } = world.pair();
  b.process.spend(1000);
  near.send(message(1, 600_000));
  world.run(900);
  expect([near.rest.length, near.told]).toEqual([600_016 - 256 * 1024, []]);
  world.run(200);
  expect(far.numbers).toEqual([1]);
});
