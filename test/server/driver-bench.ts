import { expect } from "bun:test";
import { Prng } from "../../src/env/prng.ts";
import { encodeCommand, type SessionStamp } from "../../src/kv/command.ts";
import type { Result } from "../../src/kv/result.ts";
import { StateMachine } from "../../src/kv/state-machine.ts";
import { LevelDB } from "../../src/leveldb/level-db.ts";
import { type Bytes, emptyBytes, toUtf8 } from "../../src/lib/bytes.ts";
import { ByteWriter } from "../../src/lib/codec.ts";
import type { KvraftError } from "../../src/lib/error.ts";
import { Raft } from "../../src/raft/raft.ts";
import type { EntryId, Message, NodeId } from "../../src/raft/types.ts";
import { Persister } from "../../src/raftlog/persister.ts";
import { Driver } from "../../src/server/driver.ts";
import { LogCompaction } from "../../src/server/log-compaction.ts";
import { MemoryTables } from "../leveldb/memory-tables.ts";
import { MemoryWorkers } from "../leveldb/memory-workers.ts";
import { CrashDisk } from "../raftlog/crash-disk.ts";
import { ManualClock } from "../rpc/memory-net.ts";

export const ids = ["000000000000000a", "000000000000000b", "000000000000000c"] as NodeId[];
export const [own, peer] = ids as [NodeId, NodeId, NodeId];

/** Looking at the clock costs a millisecond, so that work in one turn takes time. */
export class CostlyClock extends ManualClock {
  costMs = 0;
  #spentMs = 0;

  override monotonicMs(): number {
    this.#spentMs += this.costMs;
    return super.monotonicMs() + this.#spentMs;
  }
}

/** A driver around a real core, log, store and state machine; the test plays the peers and the disk. */
export class Bench {
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
    const limits = { logTailEntries: 0, logTailBytes: 0 };
    return new LogCompaction({ persister, store, limits, heldIndex: () => Infinity });
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

export function put(key: string, bytes = 0, session?: SessionStamp): Bytes {
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
export function leaderWithHeldWorker(memtableBytesMax: number): Bench {
  const bench = new Bench(3, new CrashDisk(), memtableBytesMax);
  bench.lead();
  bench.run(5);
  bench.acknowledge();
  bench.run(5);
  bench.take();
  bench.isWorkerHeld = true;
  return bench;
}
