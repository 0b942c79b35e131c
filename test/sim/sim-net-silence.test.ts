import { expect, test } from "bun:test";
import { eachSeed } from "../leveldb/seed.ts";
import { retransmissionMs } from "./retransmission.ts";
import { message, refusedText, resetText, upTo, World } from "./sim-net-world.ts";

// Goal: a network that drops every packet is to the two sides what it is to TCP: no error, a buffer that fills, late arrival by
// back-off, and new connections that work at once. Method: two hosts, latency 1 ms, in virtual time.

function silence(world: World, mode: "both" | "there" | "back" = "both"): void {
  if (mode !== "back") world.net.cut("a", "b", "silent");
  if (mode !== "there") world.net.cut("b", "a", "silent");
}

function heal(world: World): void {
  world.net.heal("a", "b");
  world.net.heal("b", "a");
}

test("what is sent again is sent after 200, 600, 1400, 3000, 6200 and 12,600 ms", () => {
  const at = [0, 200, 600, 1400, 3000, 6200].map((nowMs) => retransmissionMs(0, nowMs, 200));
  expect(at).toEqual([200, 600, 1400, 3000, 6200, 12_600]);
  expect([0, 1000, 3000, 7000].map((nowMs) => retransmissionMs(50, 50 + nowMs, 1000) - 50)).toEqual([
    1000, 3000, 7000, 15_000,
  ]);
});

test("neither side is told of a silence, and what was sent arrives late by back-off, in order", () => {
  const world = new World();
  const { near, far } = world.pair();
  silence(world);
  const startMs = world.timeline.nowMs;
  for (const number of upTo(3)) near.send(message(number));
  far.send(message(9));
  world.run(7000);
  expect([far.numbers, near.numbers, near.told, far.told]).toEqual([[], [], [], []]);
  heal(world);
  near.send(message(4));
  world.run(5000);
  expect(far.numbers).toEqual([]);
  world.run(700);
  expect(far.numbers).toEqual(upTo(4));
  expect(near.numbers).toEqual([9]);
  expect(far.timesMs.at(-1)! - startMs).toBeWithin(12_600, 12_603);
  expect(world.net.counts).toMatchObject({ silenced: 2, retransmitted: 2, resets: 0, lost: 0 });
});

test("a connection on which nothing was sent during a silence works at once afterwards", () => {
  const world = new World();
  const { near, far } = world.pair();
  silence(world);
  world.run(30_000);
  heal(world);
  near.send(message(1));
  world.run(2);
  expect(far.numbers).toEqual([1]);
});

test("what was on its way when the silence began is lost, and sent again", () => {
  const world = new World({ latencyMsMin: 5, latencyMsMax: 5 });
  const { near, far } = world.pair();
  near.send(message(1));
  world.run(2);
  silence(world);
  world.run(50);
  heal(world);
  world.run(100);
  expect(far.numbers).toEqual([]);
  world.run(60);
  expect(far.numbers).toEqual([1]);
});

test("writes fill a buffer and are then not taken, until the silence is over", () => {
  const world = new World();
  const { near, far } = world.pair();
  silence(world);
  const block = new Uint8Array(100 * 1024);
  expect([1, 2, 3, 4].map(() => near.socket.write(block))).toEqual([102_400, 102_400, 57_344, 0]);
  world.run(1000);
  expect(near.told).toEqual([]);
  heal(world);
  world.run(1000);
  expect(near.told).toEqual(["drain"]);
  expect(far.pieces.reduce((sum, piece) => sum + piece.length, 0)).toBe(256 * 1024);
});

test("with one direction silent, the other one goes on for as long as a system waits for an acknowledgement", () => {
  const world = new World();
  const { near, far } = world.pair();
  silence(world, "back");
  for (const number of upTo(10)) {
    near.send(message(number));
    world.run(50);
  }
  // Those of the first 200 ms: then the system sends only the first of them again.
  expect(far.numbers).toEqual(upTo(4));
  far.send(message(100));
  world.run(400);
  expect(near.numbers).toEqual([]);
  heal(world);
  world.run(3000);
  expect(far.numbers).toEqual(upTo(10));
  expect(near.numbers).toEqual([100]);
});

test("a dial during a silence knocks after 1, 3 and 7 s, and one afterwards is answered at once", () => {
  const world = new World();
  const [a, b] = [world.host("a"), world.host("b")];
  world.listen(b);
  silence(world);
  const startMs = world.timeline.nowMs;
  const early = world.dial(a, "b");
  world.run(2500);
  heal(world);
  const late = world.dial(a, "b");
  world.run(5);
  expect([early.side, early.failures]).toEqual([undefined, []]);
  expect(late.side).toBeDefined();
  world.run(1000);
  expect(early.openedMs - startMs).toBeWithin(3000, 3003);
  expect(world.net.counts.unansweredDials).toBe(2);
});

test("a reset is lost in a silence: the other side learns of it when it sends something later", () => {
  const world = new World();
  const { near, far } = world.pair();
  silence(world);
  near.send(message(1));
  near.socket.terminate();
  world.run(1000);
  heal(world);
  world.run(20_000);
  expect([far.numbers, far.told]).toEqual([[], []]);
  far.send(message(2));
  world.run(5);
  expect(far.told).toEqual([resetText]);
});

test("a process that dies in a silence, and one that died before, are found out when it is over", () => {
  const world = new World();
  const { a, b, near, far } = world.pair();
  silence(world, "back");
  world.kill(b, "reset");
  near.send(message(1));
  world.run(5000);
  expect(near.told).toEqual([]);
  heal(world);
  world.run(10_000);
  expect(near.told).toEqual([resetText]);
  expect(far.numbers).toEqual([]);
  const again = world.dial(a, "b");
  world.run(5);
  expect(again.failures).toEqual([expect.stringContaining(refusedText)]);
});

test("silences that come and go lose nothing, double nothing and keep the order", () => {
  eachSeed(30, (prng, seed) => {
    const world = new World({ latencyMsMax: 8, isChopped: seed % 2 === 0 }, seed);
    const { near, far } = world.pair();
    let number = 0;
    for (let step = 0; step < 60; step++) {
      if (prng.chance(1, 3)) silence(world, prng.pick(["both", "there", "back"] as const));
      if (prng.chance(1, 2)) heal(world);
      for (let count = prng.int(0, 3); count > 0; count--) near.send(message(++number, prng.int(0, 2000)));
      if (prng.chance(1, 2)) far.send(message(step));
      world.run(prng.int(1, 700));
    }
    heal(world);
    world.run(150_000);
    expect(far.numbers).toEqual(upTo(number));
    expect(near.numbers).toEqual([...near.numbers].sort((x, y) => x - y));
    const others = [...near.told, ...far.told].filter((line) => line !== "data" && line !== "drain");
    expect(others).toEqual([]);
    expect(world.net.counts.silenced).toBeGreaterThan(0);
  });
});
