import { expect, test } from "bun:test";
import { Prng } from "../../src/env/prng.ts";
import { encodeCommand } from "../../src/kv/command.ts";
import { StateMachine } from "../../src/kv/state-machine.ts";
import { type Status, statusOf } from "../../src/kv/status.ts";
import { emptyBytes, toUtf8 } from "../../src/lib/bytes.ts";
import { ClientEnd } from "../../src/rpc/client-end.ts";
import type { Connection } from "../../src/rpc/connection.ts";
import { makeHello, noId } from "../../src/rpc/hello.ts";
import { Listener } from "../../src/rpc/listener.ts";
import { method } from "../../src/rpc/method.ts";
import { encodeRequestHead } from "../../src/rpc/request.ts";
import { ClientRequests } from "../../src/server/client-requests.ts";
import type { Driver } from "../../src/server/driver.ts";
import type { Guest } from "../../src/server/guest.ts";
import { Replies } from "../../src/server/replies.ts";
import { MapStore } from "../kv/map-store.ts";
import { ManualClock, MemoryNet } from "../rpc/memory-net.ts";

/** What the service asks of the driver, played by the test: it proposes at the next index, and decides nothing. */
class PlayedDriver implements Pick<Driver, "isReady" | "start" | "readIndex" | "schedule"> {
  isReady = true;
  proposed = 0;

  start() {
    return { ok: true, index: ++this.proposed, term: 7 } as const;
  }

  /** The context of the last reads that were asked for. */
  asked = 0;

  readIndex(context: number): boolean {
    this.asked = context;
    return true;
  }

  schedule(): void {}
}

/** Lease time in all of these tests. */
const nowMs = 1_000_000;

class Scene {
  readonly clock = new ManualClock();
  readonly net = new MemoryNet(this.clock, new Prng(1), 1 << 16);
  readonly driver = new PlayedDriver();
  readonly requests = new ClientRequests({
    clock: this.clock,
    machine: new StateMachine(new MapStore(), 0),
    driver: this.driver as unknown as Driver,
    keyBytesMax: 10,
    valueBytesMax: 20,
    requestsInFlightMax: 100,
    replies: new Replies({
      term: () => 7,
      revision: () => 0,
      leaseMs: () => nowMs,
      leaderAddress: () => "",
      markDirty: (connection: Connection<Guest>) => connection.flush(),
    }),
    leaderAddress: () => "",
    time: {
      prepare: () => true,
      nextStampMs: () => nowMs,
      isAhead: (timeMs, byMs) => timeMs > nowMs + byMs,
    },
    others: () => false,
    statusJson: () => "{}",
  });
  readonly #end: ClientEnd;

  constructor() {
    const listener = new Listener<Guest>(
      this,
      { host: "sim", port: 0, roles: ["client"] },
      {
        greet: (_, connection) => {
          connection.context = { purpose: "client", peer: undefined, bootId: "", isDirty: false };
          return { clusterId: noId, nodeId: noId, keyBytesMax: 0, valueBytesMax: 0, leader: "" };
        },
        frame: (connection, frame) => this.requests.handle(connection, frame),
        closed: () => {},
        log: () => {},
      },
    );
    const hello = makeHello({ clusterId: noId, nodeId: noId, role: "client", purpose: "client" });
    this.#end = new ClientEnd(this, { host: "sim", port: listener.port }, hello);
  }

  async run(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed++) {
      this.clock.run(1);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  get(key: string): { status: Status | undefined } {
    const reply: { status: Status | undefined } = { status: undefined };
    const encode = (body: Parameters<typeof encodeRequestHead>[0]) => {
      encodeRequestHead(body, 1000);
      body.u8(0);
      body.bytes(toUtf8(key));
    };
    void this.#end.call(method.get, encode, 5000).then((result) => {
      if (result.ok) reply.status = statusOf(result.body[0]!);
    });
    return reply;
  }

  put(key: string, value: string, bornMs?: number): { status: Status | undefined } {
    const reply: { status: Status | undefined } = { status: undefined };
    const session = bornMs === undefined ? undefined : { name: "s", sequence: 1, acknowledged: 0, bornMs };
    const encode = (body: Parameters<typeof encodeRequestHead>[0]) => {
      encodeRequestHead(body, 1000);
      const bytes = { key: toUtf8(key), value: toUtf8(value), principal: emptyBytes };
      encodeCommand(body, { type: "put", timeMs: 0, session, ...bytes });
    };
    void this.#end.call(method.put, encode, 5000).then((result) => {
      if (result.ok) reply.status = statusOf(result.body[0]!);
    });
    return reply;
  }
}

test("a waiter at an index where another term's entry was applied does not get that entry's result", async () => {
  const scene = new Scene();
  const [first, second] = [scene.put("a", "1"), scene.put("b", "2")];
  await scene.run(20);
  expect(scene.driver.proposed).toBe(2);
  scene.requests.applied({ index: 1, term: 8 }, { status: "OK", revision: 1 });
  scene.requests.applied({ index: 2, term: 7 }, { status: "OK", revision: 2 });
  await scene.run(20);
  expect([first.status, second.status]).toEqual(["CommitTimeout", "OK"]);
});

test("reads that waited when the leadership was lost leave room for others: they count no more", async () => {
  const scene = new Scene();
  for (let round = 0; round < 3; round++) {
    // As many as may be in flight: some are asked of the quorum already, the others are of this turn.
    const reads = Array.from({ length: 60 }, () => scene.get("a"));
    await scene.run(20);
    scene.requests.turnBegins();
    reads.push(...Array.from({ length: 40 }, () => scene.get("a")));
    await scene.run(20);
    const refused = scene.get("a");
    await scene.run(20);
    expect(refused.status).toBe("ErrBusy");
    scene.requests.lostLeadership();
    await scene.run(20);
    expect(new Set(reads.map(({ status }) => status))).toEqual(new Set(["ErrWrongLeader"]));
  }
  const served = scene.get("a");
  await scene.run(20);
  scene.requests.turnBegins();
  scene.requests.readable(scene.driver.asked);
  await scene.run(20);
  expect(served.status).toBe("ErrNoKey");
});

test("reads are answered for a few milliseconds of a turn, the rest in the next ones, and none is lost", async () => {
  const scene = new Scene();
  const { get } = StateMachine.prototype;
  const now = scene.clock.monotonicMs.bind(scene.clock);
  let spentMs = 0;
  scene.clock.monotonicMs = () => now() + spentMs;
  StateMachine.prototype.get = function (this: StateMachine, key) {
    spentMs += 0.25;
    return get.call(this, key);
  };
  try {
    const reads = Array.from({ length: 100 }, () => scene.get("a"));
    await scene.run(20);
    scene.requests.turnBegins();
    scene.requests.readable(scene.driver.asked);
    expect(scene.requests.unansweredCount).toBe(84);
    expect(spentMs).toBeLessThan(6);
    let turns = 0;
    for (; scene.requests.unansweredCount > 0; turns++) scene.requests.turnBegins();
    expect(turns).toBe(6);
    await scene.run(20);
    expect(new Set(reads.map(({ status }) => status))).toEqual(new Set(["ErrNoKey"]));
    // The room that they took is free again, also when the leadership is lost amid a batch.
    const more = Array.from({ length: 100 }, () => scene.get("a"));
    await scene.run(20);
    scene.requests.turnBegins();
    scene.requests.readable(scene.driver.asked);
    scene.requests.lostLeadership();
    await scene.run(20);
    expect(more.filter(({ status }) => status === "ErrNoKey")).toHaveLength(16);
    expect(more.filter(({ status }) => status === "ErrWrongLeader")).toHaveLength(84);
    expect(scene.requests.unansweredCount).toBe(0);
  } finally {
    StateMachine.prototype.get = get;
  }
});

test("limits are told before anything is proposed", async () => {
  const scene = new Scene();
  const replies = [
    scene.put("x".repeat(11), "1"),
    scene.put("a", "v".repeat(21)),
    scene.put("a", "1", nowMs + 61_000),
  ];
  await scene.run(20);
  expect(replies.map((reply) => reply.status)).toEqual(["ErrTooLarge", "ErrTooLarge", "ErrSessionEnded"]);
  expect(scene.driver.proposed).toBe(0);
  const inTime = scene.put("x".repeat(10), "v".repeat(20), nowMs + 50_000);
  await scene.run(20);
  scene.requests.applied({ index: 1, term: 7 }, { status: "OK", revision: 1 });
  await scene.run(20);
  expect(inTime.status).toBe("OK");
});

test("a result that is a refusal is told as one that proposed nothing which lasts", async () => {
  const scene = new Scene();
  const reply = scene.put("a", "1", nowMs);
  await scene.run(20);
  scene.requests.applied({ index: 1, term: 7 }, { status: "ErrOutOfOrder", revision: 0 });
  await scene.run(20);
  expect(reply.status).toBe("ErrOutOfOrder");
});
