import { expect, test } from "bun:test";
import { Prng } from "../../src/env/prng.ts";
import { encodeCommand, type SessionStamp } from "../../src/kv/command.ts";
import type { Result } from "../../src/kv/result.ts";
import { StateMachine } from "../../src/kv/state-machine.ts";
import { LevelDB } from "../../src/leveldb/level-db.ts";
import { type Bytes, emptyBytes, toUtf8 } from "../../src/lib/bytes.ts";
import { ByteWriter } from "../../src/lib/codec.ts";
import { KvraftError } from "../../src/lib/error.ts";
import { Raft } from "../../src/raft/raft.ts";
import type { EntryId, Message, NodeId } from "../../src/raft/types.ts";
import { Persister } from "../../src/raftlog/persister.ts";
import { Driver } from "../../src/server/driver.ts";
import { LogCompaction } from "../../src/server/log-compaction.ts";
import { MemoryTables } from "../leveldb/memory-tables.ts";
import { MemoryWorkers } from "../leveldb/memory-workers.ts";
import { CrashDisk } from "../raftlog/crash-disk.ts";
import { ManualClock } from "../rpc/memory-net.ts";

const ids = ["000000000000000a", "000000000000000b", "000000000000000c"] as NodeId[];
const [own, peer] = ids as [NodeId, NodeId, NodeId];

/** Looking at the clock costs a millisecond, so that work in one turn takes time. */
class CostlyClock extends ManualClock {
  costMs = 0;
  #spentMs = 0;

  override monotonicMs(): number {
    this.#spentMs += this.costMs;
    return super.monotonicMs() + this.#spentMs;
  }
}

/** A driver around a real core, log, store and state machine; the test plays the peers and the disk. */
class Bench {
  readonly clock = new CostlyClock();
  readonly disk: CrashDisk;
  readonly store: LevelDB;
  readonly raft: Raft;
  readonly machine: StateMachine;
  /** Called when the driver has done all that a turn asks for. */
  turnEnded = (): void => {};
  readonly driver: Driver;
  /** What the owner was told, in order. */
  readonly events: string[] = [];
  readonly sent: Message[] = [];
  failure: KvraftError | undefined;
  /** Set: the store's worker does nothing until `releaseWorker`. It seems to be at something long, unless it hangs. */
  isWorkerHeld = false;
  isWorkerHanging = false;
  readonly #workers: MemoryWorkers;
  readonly #heldWork: (() => void)[] = [];

  constructor(count: number, disk = new CrashDisk(), memtableBytesMax = 1 << 20) {
    this.disk = disk;
    const owner = { clusterId: "00000000000000c1", nodeId: own };
    const persister = Persister.open(disk, "log", owner, {}, () => {});
    const tables = new MemoryTables(disk);
    const workers = new MemoryWorkers({ disk, tables }, (run) => this.#workLater(run));
    this.#workers = workers;
    this.store = LevelDB.open({ disk, tables, workers }, "store", {
      createIfMissing: true,
      memtableBytesMax,
      failed: (error) => {
        this.driver.stop();
        this.failure = error;
      },
    });
    const machine = new StateMachine(this.store, this.store.applied.index);
    this.machine = machine;
    const unchanged = { incoming: ids.slice(0, count), outgoing: [], learners: [] };
    this.raft = new Raft({
      id: own,
      configuration: unchanged,
      decodeConfiguration: () => unchanged,
      hardState: persister.readRaftState().hardState,
      log: persister,
      applied: this.store.applied.index,
      chance: new Prng(1),
      heartbeatTicks: 5,
      electionTicksMin: 30,
      electionTicksMax: 60,
      diskStallTicks: 500,
      appendBytesMax: 1 << 18,
      windowBytesMax: 1 << 22,
      uncommittedBytesMax: 1 << 26,
    });
    const { clock, raft, store } = this;
    this.driver = new Driver(
      {
        clock,
        raft,
        persister,
        machine,
        store,
        compaction: this.#compaction(persister),
        tickMs: 10,
        unsealedBytesMax: 1 << 30,
      },
      {
        send: (message) => this.sent.push(message) > 0,
        applied: (id: EntryId, result: Result) => this.events.push(`applied ${id.index} ${result.status}`),
        readable: (context) => this.events.push(`readable ${context}`),
        lostLeadership: () => this.events.push("lost"),
        storeHangs: (forMs) => this.events.push(`store hangs ${forMs}`),
        storeGetsOn: () => this.events.push("store gets on"),
        configured: () => {},
        configurationApplied: () => {},
        reached: () => {},
        snapshotOffered: () => {},
        turnBegins: () => {},
        messagesSent: () => {},
        turnEnds: () => {
          this.events.push("turn");
          this.turnEnded();
        },
        failed: (error) => {
          this.failure = error;
        },
      },
    );
  }

  #compaction(persister: Persister): LogCompaction {
    const { store } = this;
    return new LogCompaction({ persister, store, tailEntries: 0, tailBytes: 0, heldIndex: () => Infinity });
  }

  /** Lets time pass; the disk ends its writes unless `hung`. */
  run(ms: number, isHung = false): void {
    for (let passed = 0; passed < ms; passed++) {
      this.clock.run(1);
      if (!isHung) this.disk.run();
      if (this.isWorkerHeld && !this.isWorkerHanging) this.#workers.seemToWork();
    }
  }

  /** Becomes the leader of three, with the votes of one peer. */
  lead(): void {
    for (let passed = 0; !this.raft.isLeader && passed < 2000; passed++) {
      this.run(1);
      for (const message of this.sent.splice(0))
        if (message.kind === "request-vote" && message.to === peer)
          this.driver.step({
            kind: "request-vote-reply",
            from: peer,
            to: own,
            term: message.term,
            preVote: message.preVote,
            granted: true,
          });
    }
    expect(this.raft.isLeader).toBe(true);
  }

  /** The peer acknowledges all that was sent to it. */
  acknowledge(): void {
    for (const message of this.sent.splice(0)) {
      if (message.to !== peer) continue;
      const envelope = { from: peer, to: own, term: message.term };
      if (message.kind === "heartbeat")
        this.driver.step({ ...envelope, kind: "heartbeat-reply", context: message.context });
      if (message.kind !== "append-entries") continue;
      const index = message.prev.index + message.entries.length;
      const hint = { index, term: message.term };
      this.driver.step({ ...envelope, kind: "append-entries-reply", accepted: true, index, hint });
    }
  }

  releaseWorker(): void {
    this.isWorkerHeld = false;
    for (const run of this.#heldWork.splice(0)) this.clock.soon(run);
  }

  /** The worker has a turn of its own for each slice, beside whatever the driver does. */
  #workLater(run: () => void): void {
    if (this.isWorkerHeld) this.#heldWork.push(run);
    else this.clock.soon(() => (this.isWorkerHeld ? void this.#heldWork.push(run) : run()));
  }

  take(): string[] {
    return this.events.splice(0).filter((event) => event !== "turn");
  }
}

function put(key: string, bytes = 0, session?: SessionStamp): Bytes {
  const writer = new ByteWriter();
  encodeCommand(writer, {
    type: "put",
    timeMs: 1,
    session,
    principal: emptyBytes,
    key: toUtf8(key),
    value: new Uint8Array(bytes),
  });
  return writer.take();
}

/** A leader of three that serves, and whose store's worker does nothing until it is released. */
function leaderWithHeldWorker(memtableBytesMax: number): Bench {
  const bench = new Bench(3, new CrashDisk(), memtableBytesMax);
  bench.lead();
  bench.run(5);
  bench.acknowledge();
  bench.run(5);
  bench.take();
  bench.isWorkerHeld = true;
  return bench;
}

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
