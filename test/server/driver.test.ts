import { expect, test } from "bun:test";
import { Prng } from "../../src/env/prng.ts";
import { type Bytes, emptyBytes } from "../../src/lib/bytes.ts";
import { KvraftError } from "../../src/lib/error.ts";
import { CrashDisk } from "../raftlog/crash-disk.ts";
import { Bench, ids, own, peer, put } from "./driver-bench.ts";

test("a change of members that is refused makes no turn follow: it is tried at the end of each", () => {
  const bench = new Bench(3);
  bench.run(1);
  bench.events.length = 0;
  expect(bench.driver.changeConfiguration(emptyBytes)).toMatchObject({ ok: false });
  bench.clock.run(0);
  expect(bench.events).toEqual([]);
});

test("a leader that is not done with its first entry is not ready: older commits may be missing", () => {
  const bench = new Bench(3);
  bench.lead();
  bench.run(20);
  expect(bench.driver.isReady).toBe(false);
  bench.acknowledge();
  bench.run(5);
  expect(bench.driver.isReady).toBe(true);
});

test("an entry is applied when it is committed and durable here, each one once, in order", () => {
  const bench = new Bench(3);
  bench.lead();
  bench.run(5);
  bench.acknowledge();
  bench.run(5);
  expect(bench.driver.start(put("a")).ok).toBe(true);
  expect(bench.driver.start(put("b")).ok).toBe(true);
  bench.run(5, true);
  bench.acknowledge();
  bench.run(5, true);
  // The peer alone makes no majority: this node's own disk has not said so yet.
  expect(bench.take()).toEqual([]);
  bench.run(5);
  expect(bench.take()).toEqual(["applied 2 OK", "applied 3 OK"]);
  bench.run(50);
  expect(bench.take()).toEqual([]);
});

test("nothing is applied while another state is swapped in, and what had piled up is when nothing comes of it", () => {
  const bench = new Bench(1);
  bench.lead();
  bench.run(5);
  bench.take();
  const { index } = bench.driver.applied;
  expect(bench.driver.beginRestore(index)).toBe(false);
  expect(bench.driver.beginRestore(index + 100)).toBe(true);
  bench.driver.start(put("a"));
  bench.run(50);
  expect(bench.driver.applied.index).toBe(index);
  bench.driver.abandonRestore();
  bench.run(5);
  expect(bench.driver.applied.index).toBe(index + 1);
});

test("messages leave in the turn in which the write only begins, and heartbeats while it is in flight", () => {
  const bench = new Bench(3);
  bench.lead();
  bench.run(5);
  bench.acknowledge();
  bench.run(5);
  bench.sent.length = 0;
  bench.driver.start(put("a"));
  bench.run(1, true);
  expect(
    bench.sent.some((message) => message.kind === "append-entries" && message.entries.length === 1),
  ).toBe(true);
  bench.sent.length = 0;
  bench.run(120, true);
  const heartbeats = bench.sent.filter((message) => message.kind === "heartbeat" && message.to === peer);
  expect(heartbeats.length).toBeGreaterThanOrEqual(2);
  expect(bench.take()).toEqual([]);
});

/** A leader that has a confirmed read, whose entry is committed by the peers, and whose own write hangs. */
function withUnreadableRead(): Bench {
  const bench = new Bench(3);
  bench.lead();
  bench.run(5);
  bench.acknowledge();
  bench.run(5);
  bench.driver.start(put("a"));
  bench.run(2, true);
  for (const message of [...bench.sent]) bench.sent.push({ ...message, to: peer });
  bench.acknowledge();
  const third = ids[2]!;
  bench.driver.step({
    kind: "append-entries-reply",
    from: third,
    to: own,
    term: bench.raft.term,
    accepted: true,
    index: 2,
    hint: { index: 2, term: bench.raft.term },
  });
  expect(bench.raft.getState().commit).toBe(2);
  expect(bench.driver.readIndex(77)).toBe(true);
  for (let round = 0; round < 5; round++) {
    bench.run(20, true);
    bench.acknowledge();
  }
  expect(bench.take()).toEqual([]);
  return bench;
}

test("a read waits until its index is applied, and is answered after that entry's result", () => {
  const bench = withUnreadableRead();
  bench.run(5);
  expect(bench.take()).toEqual(["applied 2 OK", "readable 77"]);
});

test("a read that was confirmed and not yet answered is dropped with the leadership, before its entry is applied", () => {
  const bench = withUnreadableRead();
  const term = bench.raft.term + 1;
  bench.driver.step({ kind: "heartbeat", from: peer, to: own, term, commit: 0, context: 1 });
  bench.run(5, true);
  expect(bench.take()).toEqual(["lost"]);
  bench.run(20);
  expect(bench.take()).toEqual(["applied 2 OK"]);
});

test("reads that were confirmed for a term that is over are never answered", () => {
  const bench = new Bench(3);
  bench.lead();
  bench.run(5);
  bench.acknowledge();
  bench.run(5);
  expect(bench.driver.readIndex(5)).toBe(true);
  bench.run(2);
  const term = bench.raft.term + 1;
  bench.driver.step({ kind: "heartbeat", from: peer, to: own, term, commit: 1, context: 1 });
  bench.acknowledge();
  bench.run(100);
  expect(bench.take()).toEqual(["lost"]);
});

test("applying takes a few milliseconds of a turn, and goes on in the next", () => {
  const disk = new CrashDisk();
  const first = new Bench(1, disk, 64 << 20);
  first.run(700);
  for (let at = 0; at < 64; at++) first.driver.start(put(`k${at}`, 64 * 1024));
  first.run(20);
  expect(first.raft.getState().commit).toBe(65);
  first.driver.stop();

  // It starts again with all of it to apply.
  const second = new Bench(1, disk.kill(), 64 << 20);
  second.clock.costMs = 1;
  second.run(1500);
  const applied = second.events.filter((event) => event.startsWith("applied"));
  expect(applied.length).toBe(64);
  let most = 0;
  let inTurn = 0;
  for (const event of second.events) {
    inTurn = event === "turn" ? 0 : inTurn + 1;
    most = Math.max(most, inTurn);
  }
  expect(most).toBeLessThanOrEqual(12);
});

test("a full memory is sealed and flushed by the worker while entries are applied, and a restart goes on from there", () => {
  const disk = new CrashDisk();
  const bench = new Bench(1, disk, 200_000);
  bench.run(700);
  bench.isWorkerHeld = true;
  for (let at = 0; at < 8; at++) bench.driver.start(put(`k${at}`, 50_000));
  bench.run(20);
  // Two memtables wait for the worker or one does, nothing of them is durable, and all was applied all the same.
  expect(bench.store.isSealed).toBe(true);
  expect(bench.store.applied.index).toBe(0);
  expect(bench.driver.applied.index).toBe(9);
  bench.releaseWorker();
  for (let at = 8; at < 20; at++) bench.driver.start(put(`k${at}`, 50_000));
  bench.run(50);
  bench.driver.start(put("last"));
  bench.run(50);
  expect(bench.driver.applied.index).toBe(22);
  expect(bench.store.applied.index).toBeGreaterThan(10);
  expect(bench.store.isSealed).toBe(false);
  const again = new Bench(1, disk.crash("lost", new Prng(1)), 200_000);
  const { index } = again.store.applied;
  expect(index).toBe(bench.store.applied.index);
  again.run(1000);
  expect(again.driver.applied.index).toBeGreaterThanOrEqual(22);
  const applied = again.take();
  // What the runs hold is not applied again.
  expect(applied[0]).toBe(`applied ${index + 1} OK`);
  expect(applied.at(-1)).toBe("applied 22 OK");
});

test("many sessions are saved over many turns while entries are applied, and a restart finds the state as of the seal", () => {
  const disk = new CrashDisk();
  const bench = new Bench(1, disk, 4 << 20);
  bench.run(700);
  const store: { put(key: Bytes, value: Bytes, sequence: number): void } = bench.store;
  const storePut = store.put;
  let saved = 0;
  store.put = (key, value, sequence) => {
    if (key[0] === 0x73) saved++;
    storePut.call(bench.store, key, value, sequence);
  };
  const perTurn: number[] = [];
  bench.turnEnded = () => perTurn.push(saved - perTurn.reduce((sum, count) => sum + count, 0));
  const open = (at: number) =>
    bench.driver.start(put(`k${at % 10}`, 0, { name: `s${at}`, sequence: 1, acknowledged: 0, bornMs: at }));
  let at = 0;
  while (at < 10_000) {
    for (let count = 0; count < 500; count++) open(++at);
    bench.run(5);
  }
  expect(saved).toBe(0);
  bench.clock.costMs = 4;
  // More entries are committed in the moment in which the saving begins.
  for (let count = 0; count < 2_000; count++) open(++at);
  bench.clock.run(1);
  bench.driver.sealUpTo(bench.driver.applied.index);
  bench.disk.run();
  bench.run(20);
  expect(bench.store.applied.index).toBeGreaterThan(10_001);
  const turns = perTurn.filter((count) => count > 0);
  expect(saved).toBe(bench.store.applied.index - 1);
  expect(turns.length).toBeGreaterThan(4);
  expect(Math.max(...turns)).toBeLessThan(2_500);
  const again = new Bench(1, disk.crash("lost", new Prng(1)), 4 << 20);
  expect(again.machine.sessionCount).toBe(again.store.applied.index - 1);
  again.run(1_000);
  expect(again.driver.applied.index).toBe(bench.driver.applied.index + 1);
  expect(again.machine.sessionCount).toBe(bench.machine.sessionCount);
});

test("a disk that fails while the store is flushed stops the driver: nothing is applied or answered afterwards", () => {
  const disk = new CrashDisk();
  const bench = new Bench(1, disk, 200_000);
  bench.run(700);
  disk.failure = (action, path) =>
    action === "create" && path.startsWith("store/") ? new KvraftError("NO_SPACE", "full") : undefined;
  for (let at = 0; at < 20; at++) bench.driver.start(put(`k${at}`, 50_000));
  bench.run(50);
  expect(bench.failure).toMatchObject({ code: "NO_SPACE" });
  const count = bench.events.length;
  bench.driver.start(put("late"));
  bench.run(500);
  expect(bench.events.length).toBe(count);
  expect(bench.store.applied.index).toBe(0);
});

test("a write that fails stops the driver, and what waited for it is never applied", () => {
  const bench = new Bench(1);
  bench.run(700);
  bench.take();
  bench.driver.start(put("a"));
  bench.run(1, true);
  bench.disk.failOne(new KvraftError("IO_ERROR", "broken"));
  expect(bench.failure).toMatchObject({ code: "IO_ERROR", message: "broken" });
  bench.run(500);
  expect(bench.take()).toEqual([]);
});

test("a leader that stood still for an election timeout reads what has arrived before it decides anything", () => {
  const bench = new Bench(3);
  bench.lead();
  bench.run(5);
  bench.acknowledge();
  bench.run(5);
  bench.take();
  bench.clock.costMs = 2000;
  bench.run(11);
  bench.clock.costMs = 0;
  bench.run(11);
  expect(bench.raft.isLeader).toBe(false);
  expect(bench.take()).toEqual(["lost"]);
});
