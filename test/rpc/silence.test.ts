import { expect, test } from "bun:test";
import { Prng } from "../../src/env/prng.ts";
import { fromUtf8, toUtf8 } from "../../src/lib/bytes.ts";
import type { ByteWriter } from "../../src/lib/codec.ts";
import { ClientEnd, type ClientEndOptions } from "../../src/rpc/client-end.ts";
import {
  backOffMaxMs,
  guestLookEveryMs,
  guestSilentLooks,
  knockEveryMs,
  lookEveryMs,
  silentLooks,
} from "../../src/rpc/limits.ts";
import { method } from "../../src/rpc/method.ts";
import type { CallResult } from "../../src/rpc/pending-calls.ts";
import { chance, clientHello, EchoService, peerHello } from "./echo-service.ts";
import { ManualClock, MemoryNet } from "./memory-net.ts";

/** The longest time between the last sign of life and the dial beside it. */
const noticedMs = (silentLooks + 1) * lookEveryMs;
/** A dial that begins after the healing, or knocks then, and its hello. */
const redialledMs = knockEveryMs + 20;

/** A service and an end, in memory and in a time that the test moves. */
class World {
  readonly clock = new ManualClock();
  readonly net = new MemoryNet(this.clock, new Prng(11));
  readonly service = new EchoService({}, this);
  readonly end: ClientEnd;
  readonly told: string[] = [];

  constructor(isPeer: boolean, options: ClientEndOptions = {}) {
    const { address } = this.service;
    this.end = new ClientEnd(this, address, isPeer ? peerHello : clientHello, {
      ...(isPeer ? { keepConnected: { chance } } : {}),
      onConnected: () => this.told.push("connected"),
      onLost: (_, wasSilent) => this.told.push(wasSilent ? "silent" : "lost"),
      onDialFailed: ({ kind }) => this.told.push(`dial: ${kind}`),
      ...options,
    });
    this.clock.run(20);
  }

  get port(): number {
    return this.service.listener.port;
  }

  /** The list gets the result once it is there. */
  async call(body: string, timeoutMs: number, methodNumber: number = method.get): Promise<string[]> {
    const shown: string[] = [];
    const write = (writer: ByteWriter) => writer.raw(toUtf8(body));
    void this.end.call(methodNumber, write, timeoutMs).then((result) => shown.push(resultOf(result)));
    await Promise.resolve();
    return shown;
  }

  /** Lets time pass, and what was promised be told. */
  async run(ms: number): Promise<void> {
    this.clock.run(ms);
    for (let turn = 0; turn < 3; turn++) await Promise.resolve();
  }

  async close(): Promise<void> {
    const closed = Promise.all([this.end.close(), this.service.listener.close()]);
    this.clock.run(60_000);
    await closed;
    expect(this.clock.pendingCount).toBe(0);
  }
}

function resultOf(result: CallResult): string {
  return result.ok ? fromUtf8(result.body) : `${result.reason} wasSent=${result.wasSent}`;
}

test.each([1_000, 5_000, 40_000, 3_600_000])(
  "a peer is connected again soon after a silence of %d ms",
  async (silenceMs) => {
    const world = new World(true);
    world.net.silence(world.port);
    await world.run(silenceMs);
    expect(world.told[0]).toBe("connected");
    // Nobody was told that the peer is gone: the connection may speak again.
    expect(world.told.slice(1).every((what) => what === "dial: silence")).toBe(true);
    world.net.heal(world.port);
    await world.run(redialledMs);
    expect(world.told.slice(-2)).toEqual(["silent", "connected"]);
    expect(await world.call("hello", 1000)).toEqual([]);
    await world.close();
  },
);

test("a dial is given up only after some of its knocks could have been answered, and goes on at once", async () => {
  const world = new World(true);
  world.net.silence(world.port);
  await world.run(100_000);
  const dials = world.told.filter((what) => what === "dial: silence").length;
  // Each takes 2 s. A back-off of up to a second after each would be a second in which nobody knocks.
  expect(dials).toBeGreaterThan(45);
  expect(dials).toBeLessThan(52);
  expect(backOffMaxMs).toBe(1000);
  await world.close();
});

test("an idle connection that answers is kept for ever, on both sides", async () => {
  for (const isPeer of [true, false]) {
    const world = new World(isPeer);
    if (!isPeer) world.end.connect();
    await world.run(3_600_000);
    expect(world.told).toEqual(["connected"]);
    expect(world.service.listener.connectionCount).toBe(1);
    expect(world.service.hellos).toHaveLength(1);
    await world.close();
  }
});

test("a client's call is answered soon after a silence, and what was called meanwhile was certainly not sent", async () => {
  const world = new World(false);
  const first = await world.call("first", 1000);
  await world.run(50);
  expect(first).toEqual(["first"]);
  world.net.silence(world.port);
  const before = await world.call("before", 30_000);
  await world.run(noticedMs);
  const meanwhile = await world.call("meanwhile", 2500);
  await world.run(5000);
  expect(meanwhile).toEqual(["unreachable wasSent=false"]);
  expect(before).toEqual([]);
  const last = await world.call("last", 2500);
  await world.run(100);
  world.net.heal(world.port);
  await world.run(redialledMs);
  expect(before).toEqual(["lost wasSent=true"]);
  expect(last).toEqual(["last"]);
  await world.close();
});

test("a client whose calls wait for less than a silence takes to be noticed notices it all the same", async () => {
  const world = new World(false);
  await world.call("first", 1000);
  await world.run(50);
  world.net.silence(world.port);
  for (let count = 0; count < 20; count++) {
    await world.call("short", 150);
    await world.run(200);
  }
  world.net.heal(world.port);
  await world.run(60_000);
  const after = await world.call("after", 1000);
  await world.run(redialledMs);
  expect(after).toEqual(["after"]);
  await world.close();
});

test("a connection that speaks before the dial beside it is answered is kept, with the calls that wait on it", async () => {
  const world = new World(false);
  await world.call("first", 1000);
  await world.run(50);
  const speakAgain = world.net.silence(world.port);
  const before = await world.call("before", 30_000);
  await world.run(noticedMs + 50);
  const meanwhile = await world.call("meanwhile", 30_000);
  speakAgain();
  await world.run(20);
  expect([before, meanwhile]).toEqual([["before"], ["meanwhile"]]);
  world.net.heal(world.port);
  await world.run(10_000);
  expect(world.told).toEqual(["connected"]);
  expect(world.service.hellos).toHaveLength(1);
  await world.close();
});

test("a process that stood still does not take that for the silence of others", async () => {
  const world = new World(true);
  for (let count = 0; count < 50; count++) {
    world.clock.standStill(3000 + 100 * count);
    await world.run(250);
  }
  expect(world.told).toEqual(["connected"]);
  expect(world.service.hellos).toHaveLength(1);
  await world.close();
});

test("a call that takes long is waited for: the other side gives signs of life", async () => {
  const world = new World(false);
  const call = await world.call("never answered", 60_000, method.put);
  await world.run(59_000);
  expect(call).toEqual([]);
  await world.run(1100);
  expect(call).toEqual(["deadline wasSent=true"]);
  expect(world.told).toEqual(["connected"]);
  await world.close();
});

test("a server drops who gives no sign of life for a minute, and nobody else", async () => {
  const world = new World(false);
  world.end.connect();
  await world.run(30);
  world.net.silence(world.port);
  world.net.heal(world.port);
  const idle = new ClientEnd(world, world.service.address, clientHello);
  idle.connect();
  await world.run(guestLookEveryMs * guestSilentLooks);
  expect(world.service.closings).toEqual([]);
  await world.run(guestLookEveryMs * 2);
  expect(world.service.closings.map(({ cause }) => cause)).toEqual(["lost"]);
  expect(world.service.closings[0]!.text).toBe(
    "nothing came from it for 75 s, although it was asked for a sign",
  );
  await world.run(3_600_000);
  expect(idle.isConnected).toBe(true);
  expect(world.service.hellos).toHaveLength(2);
  void idle.close();
  await world.close();
});

test("an end that is closed during a silence is closed at once", async () => {
  const world = new World(true);
  world.net.silence(world.port);
  await world.run(5000);
  let isClosed = false;
  void world.end.close().then(() => {
    isClosed = true;
  });
  await world.run(10);
  expect(isClosed).toBe(true);
  await world.run(guestLookEveryMs * (guestSilentLooks + 1));
  await world.close();
});
