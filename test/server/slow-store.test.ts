import { expect, test } from "bun:test";
import { Prng } from "../../src/env/prng.ts";
import { Bench, leaderWithHeldWorker, peer, put } from "./driver-bench.ts";

test("entries are applied ever slower while the store's worker does not come along, then not at all, and nothing is lost", () => {
  const entryBytes = 64 * 1024;
  const count = 240;
  const bench = leaderWithHeldWorker(4 << 20);
  const { term } = bench.raft;
  // From here on a tick comes at the beginning of each ten milliseconds.
  while (bench.clock.monotonicMs() % 10 !== 9) bench.run(1);
  for (let at = 0; at < count; at++) expect(bench.driver.start(put(`k${at}`, entryBytes)).ok).toBe(true);
  const perTick: { readonly pressure: number; readonly entries: number }[] = [];
  const events: string[] = [];
  let heartbeats = 0;
  const tick = (): void => {
    const { pressure } = bench.store;
    bench.run(10);
    heartbeats += bench.sent.filter((message) => message.kind === "heartbeat" && message.to === peer).length;
    bench.acknowledge();
    const applied = bench.take();
    events.push(...applied);
    perTick.push({ pressure, entries: applied.length });
  };
  for (let ticks = 0; ticks < 300; ticks++) tick();
  const unpressed = perTick.filter(({ pressure }) => pressure === 0).map(({ entries }) => entries);
  const pressed = perTick.filter(({ pressure }) => pressure > 0).map(({ entries }) => entries);
  // Never more than in the tick before; once all of a tick was under pressure less than half a MiB; in the end nothing.
  expect(Math.max(...unpressed)).toBeGreaterThan(9);
  expect(Math.max(...pressed.slice(1))).toBeLessThan(8);
  expect(pressed.toSorted((a, b) => b - a)).toEqual(pressed);
  expect(new Set(pressed).size).toBeGreaterThan(4);
  expect(pressed.slice(-200)).toEqual(new Array(200).fill(0));
  expect(bench.store.pressure).toBe(1);
  expect(events.length).toBeLessThan(count);
  expect(bench.raft.getState().commit).toBe(count + 1);

  // It leads all the while: its ticks and heartbeats need nothing of the store.
  expect(bench.raft.isLeader && bench.raft.term === term).toBe(true);
  expect(heartbeats).toBeGreaterThan(40);
  heartbeats = 0;
  for (let ticks = 0; ticks < 20; ticks++) tick();
  expect(heartbeats).toBeGreaterThan(2);

  bench.releaseWorker();
  for (let ticks = 0; ticks < 100; ticks++) tick();
  expect(bench.store.pressure).toBe(0);
  expect(events).toEqual(Array.from({ length: count }, (_, at) => `applied ${at + 2} OK`));
  expect(bench.failure).toBeUndefined();
});

test("a node that applies its log from the disk while the store asks for slower writes reads whole bytes of it", () => {
  const before = leaderWithHeldWorker(16 << 20);
  for (let turn = 0; turn < 100; turn++) {
    for (let at = 0; at < 8; at++) before.driver.start(put(`k${turn}/${at}`, 8000));
    before.run(3);
    before.acknowledge();
  }
  before.run(100);
  before.driver.stop();
  // Nothing of the log is in memory now.
  const bench = new Bench(1, before.disk.crash("kept", new Prng(1)), 1_000_000);
  bench.isWorkerHeld = true;
  bench.run(2000);
  expect(bench.store.pressure).toBeGreaterThan(0.5);
  bench.releaseWorker();
  bench.run(2000);
  expect(bench.failure).toBeUndefined();
  expect(bench.driver.applied.index).toBeGreaterThan(800);
});

test("values that are larger than the memory of the store stop nobody for ever: what is not sealed is sealed", () => {
  const bench = leaderWithHeldWorker(20_000);
  const events: string[] = [];
  const tick = (): void => {
    bench.run(10);
    bench.acknowledge();
    events.push(...bench.take());
  };
  // Two memtables wait, just full; then a value comes that alone makes the store ask for no more.
  const sizes = [20_000, 20_000, 100_000, 10];
  for (const [at, size] of sizes.entries()) {
    bench.driver.start(put(`k${at}`, size));
    for (let ticks = 0; ticks < 5; ticks++) tick();
  }
  expect(bench.store.pressure).toBe(1);
  bench.releaseWorker();
  for (let ticks = 0; ticks < 100; ticks++) tick();
  expect(bench.store.pressure).toBeLessThan(1);
  expect(events).toEqual(sizes.map((_, at) => `applied ${at + 2} OK`));
});

test("a leader whose store hangs while committed entries wait hands over, and one whose store is slow does not", () => {
  for (const isWorkerHanging of [true, false]) {
    const bench = leaderWithHeldWorker(100_000);
    bench.isWorkerHanging = isWorkerHanging;
    const events: string[] = [];
    const asked: number[] = [];
    const { term } = bench.raft;
    for (let at = 0; at < 12; at++) bench.driver.start(put(`k${at}`, 50_000));
    const beganMs = bench.clock.monotonicMs();
    while (bench.clock.monotonicMs() < beganMs + 3000) {
      bench.run(10);
      if (bench.sent.some(({ kind }) => kind === "timeout-now"))
        asked.push(bench.clock.monotonicMs() - beganMs);
      bench.acknowledge();
      events.push(...bench.take());
    }
    expect(bench.store.pressure).toBe(1);
    expect(events.filter((event) => event.startsWith("applied")).length).toBeLessThan(12);
    if (isWorkerHanging) {
      // After two of the longest election timeouts. The peer does not take over: then it steps down.
      expect(asked[0]).toBeWithin(1190, 1260);
      expect(bench.raft.isLeader).toBe(false);
      expect(events.slice(-2)).toEqual(["store hangs 1000", "lost"]);
      // What it was told by nobody else: it asks for no votes as long as its store hangs.
      expect(bench.raft.getState()).toMatchObject({ role: "follower", term });
    } else {
      expect(asked).toEqual([]);
      expect(bench.raft.isLeader && bench.raft.term === term).toBe(true);
      expect(events.some((event) => event.startsWith("store"))).toBe(false);
    }
    bench.isWorkerHanging = false;
    bench.releaseWorker();
    bench.run(1000);
    const told = [...events, ...bench.take()];
    expect(told.filter((event) => event === "applied 13 OK").length).toBe(1);
    expect(told.includes("store gets on")).toBe(isWorkerHanging);
  }
});

test("a read whose index is not applied yet waits as long as applying does, and is answered then", () => {
  const bench = leaderWithHeldWorker(100_000);
  for (let at = 0; at < 12; at++) bench.driver.start(put(`k${at}`, 50_000));
  for (let round = 0; round < 10; round++) {
    bench.run(10);
    bench.acknowledge();
  }
  expect(bench.store.pressure).toBe(1);
  expect(bench.driver.readIndex(7)).toBe(true);
  for (let round = 0; round < 20; round++) {
    bench.run(10);
    bench.acknowledge();
  }
  expect(bench.take().filter((event) => event.startsWith("readable"))).toEqual([]);
  bench.releaseWorker();
  bench.run(100);
  expect(bench.take().slice(-2)).toEqual(["applied 13 OK", "readable 7"]);
});
