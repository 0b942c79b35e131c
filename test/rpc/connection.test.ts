import { expect, test } from "bun:test";
import type { Socket } from "../../src/env/net.ts";
import { Prng } from "../../src/env/prng.ts";
import { type Bytes, toHex, toUtf8 } from "../../src/lib/bytes.ts";
import { DecodeError } from "../../src/lib/codec.ts";
import {
  type Closing,
  Connection,
  type ConnectionOptions,
  type ConnectionOwner,
} from "../../src/rpc/connection.ts";
import { type Frame, frameKind } from "../../src/rpc/frame.ts";
import { ManualClock, MemoryNet, type MemorySocket } from "./memory-net.ts";

const seed = Number(process.env["SEED"] ?? 20260723);

/** Notes what a connection tells its owner. */
class Owner implements ConnectionOwner<undefined> {
  readonly frames: { requestId: number; body: string }[] = [];
  readonly closings: Closing[] = [];
  readonly onFrame: (connection: Connection<undefined>, frame: Frame) => void;

  constructor(onFrame: (connection: Connection<undefined>, frame: Frame) => void = () => {}) {
    this.onFrame = onFrame;
  }

  frame(connection: Connection<undefined>, frame: Frame): void {
    this.frames.push({ requestId: frame.requestId, body: toHex(frame.body()) });
    this.onFrame(connection, frame);
  }

  closed(_: Connection<undefined>, closing: Closing): void {
    this.closings.push(closing);
  }
}

interface Pair {
  clock: ManualClock;
  near: Connection<undefined>;
  far: Connection<undefined>;
  nearOwner: Owner;
  farOwner: Owner;
  nearSocket: MemorySocket;
  farSocket: MemorySocket;
}

/** An established connection, seen from both of its ends; `near` has dialled. */
function pair(prng: Prng, options: Partial<ConnectionOptions> = {}, farOwner = new Owner()): Pair {
  const clock = new ManualClock();
  const net = new MemoryNet(clock, prng);
  const nearOwner = new Owner();
  const connections: Connection<undefined>[] = [];
  const sockets: Socket[] = [];
  const open = (owner: Owner, side: "dialled" | "accepted") => (socket: Socket) => {
    const connection = new Connection<undefined>(clock, socket, owner, { side, ...options });
    connection.establish();
    connections.push(connection);
    sockets.push(socket);
    return connection;
  };
  const { port } = net.listen("memory", 0, open(farOwner, "accepted"));
  net.connect("memory", port, open(nearOwner, "dialled"), () => {});
  clock.run(2);
  return {
    clock,
    nearOwner,
    farOwner,
    far: connections[0]!,
    near: connections[1]!,
    farSocket: sockets[0] as MemorySocket,
    nearSocket: sockets[1] as MemorySocket,
  };
}

function post(connection: Connection<undefined>, kind: 1 | 2 | 3, requestId: number, body: Bytes): boolean {
  const output = connection.begin(kind, 1, requestId);
  if (output === undefined) return false;
  output.raw(body);
  connection.end();
  return true;
}

test("frames arrive once and in order through short writes and pieces, both ways", () => {
  for (let round = 0; round < 30; round++) {
    const prng = new Prng(seed + round);
    const { clock, near, far, nearOwner, farOwner } = pair(prng);
    const sent: [typeof farOwner.frames, typeof nearOwner.frames] = [[], []];
    for (let turn = 0; turn < 40; turn++) {
      for (const [place, connection] of [near, far].entries()) {
        for (let count = prng.int(0, 4); count > 0; count--) {
          const length = prng.chance(1, 10) ? prng.int(0, 9000) : prng.int(0, 50);
          const body = new Uint8Array(length).map(() => prng.int(0, 255));
          const requestId = prng.u32();
          expect(post(connection, frameKind.message, requestId, body)).toBe(true);
          sent[place as 0 | 1].push({ requestId, body: toHex(body) });
        }
        connection.flush();
      }
      clock.run(prng.int(0, 3));
    }
    clock.run(1000);
    near.close("done");
    far.close("done");
    clock.run(10_000);
    expect(farOwner.frames, `seed ${seed} round ${round}`).toEqual(sent[0]);
    expect(nearOwner.frames, `seed ${seed} round ${round}`).toEqual(sent[1]);
    expect(nearOwner.closings.map((closing) => closing.cause)).toEqual(["closed"]);
    expect(farOwner.closings.map((closing) => closing.cause)).toEqual(["closed"]);
    expect(clock.pendingCount, "no timer outlives its connection").toBe(0);
  }
});

test("all frames of a turn leave in one write", () => {
  const { near, nearSocket } = pair(new Prng(seed));
  for (let count = 0; count < 20; count++) post(near, frameKind.message, 0, toUtf8("small"));
  expect(nearSocket.writeCount).toBe(0);
  expect(near.queuedBytes).toBe(20 * 21);
  near.flush();
  expect(nearSocket.writeCount).toBeLessThanOrEqual(1);
  near.flush();
  expect(nearSocket.writeCount).toBeLessThanOrEqual(2);
});

test("a graceful close loses no byte while the other side reads, however slowly", () => {
  const { clock, near, farOwner, nearOwner, nearSocket } = pair(new Prng(seed), { closeGraceMs: 200 });
  const body = new Uint8Array(30_000).fill(1);
  for (let count = 0; count < 5; count++) post(near, frameKind.message, count, body);
  nearSocket.isRead = false;
  near.close("done");
  expect(post(near, frameKind.message, 9, body)).toBe(false);
  // Far longer than the grace in all, but never without progress for so long.
  for (let pause = 0; pause < 1000; pause++) {
    clock.run(30);
    nearSocket.resume();
    clock.run(2);
    nearSocket.isRead = false;
  }
  expect(farOwner.frames.map((frame) => frame.requestId)).toEqual([0, 1, 2, 3, 4]);
  expect(nearOwner.closings).toEqual([{ cause: "closed", text: "done" }]);
});

test("a close that makes no progress is cut after its grace", () => {
  const { clock, near, nearOwner, nearSocket, farOwner } = pair(new Prng(seed), { closeGraceMs: 50 });
  nearSocket.isRead = false;
  post(near, frameKind.message, 0, new Uint8Array(50_000));
  near.close("done");
  clock.run(49);
  expect(nearOwner.closings).toEqual([]);
  clock.run(2);
  expect(nearOwner.closings).toEqual([{ cause: "lost", text: "it stood still for 50 ms while closing" }]);
  expect(farOwner.closings.map((closing) => closing.cause)).toEqual(["lost"]);
});

test("requests that arrived before the other side ended are still answered", () => {
  const farOwner = new Owner();
  const { clock, near, far, nearSocket, nearOwner } = pair(new Prng(seed), {}, farOwner);
  post(near, frameKind.request, 1, toUtf8("a"));
  post(near, frameKind.request, 2, toUtf8("b"));
  near.flush();
  clock.run(20);
  nearSocket.shutdown(); // Below the connection: its own close would drop the replies.
  clock.run(20);
  expect(far.isOpen).toBe(true);
  post(far, frameKind.reply, 1, toUtf8("A"));
  far.flush();
  clock.run(20);
  expect(far.isOpen).toBe(true);
  post(far, frameKind.reply, 2, toUtf8("B"));
  expect(far.isOpen).toBe(false);
  clock.run(20);
  expect(nearOwner.frames.map((frame) => frame.requestId)).toEqual([1, 2]);
  expect(farOwner.closings).toEqual([{ cause: "ended", text: "the other side has ended" }]);
});

test("who says goodbye waits for no reply", () => {
  const { clock, near, nearOwner, farOwner } = pair(new Prng(seed));
  post(near, frameKind.request, 1, toUtf8("a"));
  near.close("done");
  clock.run(20);
  expect(farOwner.frames.map((frame) => frame.requestId)).toEqual([1]);
  expect(nearOwner.closings).toEqual([{ cause: "closed", text: "done" }]);
  expect(farOwner.closings).toEqual([{ cause: "ended", text: "the other side has ended" }]);
});

test("an unanswered request keeps a half-open connection only so long", () => {
  const { clock, near, far, farOwner, nearSocket } = pair(new Prng(seed), { halfOpenMs: 100 });
  post(near, frameKind.request, 1, toUtf8("a"));
  near.flush();
  clock.run(20);
  nearSocket.shutdown();
  clock.run(90);
  expect(far.isOpen).toBe(true);
  clock.run(30);
  expect(farOwner.closings.map((closing) => closing.cause)).toEqual(["ended"]);
});

test("a client that does not read is cut off at the bound, and a dialled end is told", () => {
  const { clock, far, farSocket, farOwner, nearOwner } = pair(new Prng(seed), {
    outputBytesMax: 10_000,
  });
  farSocket.isRead = false;
  let count = 0;
  while (post(far, frameKind.message, 0, new Uint8Array(1000))) {
    far.flush();
    count++;
  }
  // What the socket holds (4096 at most), the bound, and the frame that crossed it.
  expect(count).toBeGreaterThanOrEqual(10);
  expect(count).toBeLessThanOrEqual(15);
  expect(farOwner.closings).toEqual([]);
  clock.run(1);
  expect(farOwner.closings.map((closing) => closing.cause)).toEqual(["full"]);
  expect(nearOwner.closings.map((closing) => closing.cause)).toEqual(["lost"]);

  const other = pair(new Prng(seed), { outputBytesMax: 10_000 });
  other.nearSocket.isRead = false;
  while (post(other.near, frameKind.message, 0, new Uint8Array(1000))) other.near.flush();
  expect(other.near.hasRoom).toBe(false);
  expect(other.near.isOpen).toBe(true);
  other.nearSocket.resume();
  other.clock.run(100);
  expect(other.near.queuedBytes).toBe(0);
  expect(post(other.near, frameKind.message, 0, new Uint8Array(1000))).toBe(true);
});

test("a cancelled frame leaves no trace between its neighbours", () => {
  const { clock, near, farOwner } = pair(new Prng(seed));
  post(near, frameKind.message, 1, toUtf8("one"));
  near.begin(frameKind.message, 1, 2)!.raw(new Uint8Array(5000));
  near.cancel();
  post(near, frameKind.message, 3, toUtf8("three"));
  near.flush();
  clock.run(100);
  expect(farOwner.frames.map((frame) => frame.requestId)).toEqual([1, 3]);
});

test("a body that cannot be read closes the connection, and frames behind it are not told", () => {
  const farOwner = new Owner((_, frame) => {
    if (frame.requestId === 2) throw new DecodeError("a record ends early");
  });
  const { clock, near, nearOwner } = pair(new Prng(seed), {}, farOwner);
  for (const id of [1, 2, 3]) post(near, frameKind.request, id, toUtf8("x"));
  near.flush();
  clock.run(100);
  expect(farOwner.frames.map((frame) => frame.requestId)).toEqual([1, 2]);
  expect(farOwner.closings).toEqual([
    { cause: "protocol", text: "KVServer.Get cannot be read: a record ends early" },
  ]);
  expect(nearOwner.closings).toHaveLength(1);
});

test("a stream that ends inside a frame is told as such", () => {
  const { clock, nearSocket, farOwner } = pair(new Prng(seed));
  nearSocket.write(new Uint8Array([5, 0, 0, 0, 1]));
  clock.run(5);
  nearSocket.shutdown();
  clock.run(5);
  expect(farOwner.closings.map((closing) => closing.cause)).toEqual(["protocol"]);
  expect(farOwner.closings[0]!.text).toMatch(/^the other side ended [1-5] bytes into a frame$/);
});

test("a second hello is no frame of an established connection", () => {
  const { clock, near, farOwner } = pair(new Prng(seed));
  near.begin(frameKind.hello, 0, 0);
  near.end();
  near.flush();
  clock.run(10);
  expect(farOwner.frames).toEqual([]);
  expect(farOwner.closings).toEqual([{ cause: "protocol", text: "a hello arrived after the first one" }]);
});

test("closed is told once, whatever happens together", () => {
  for (let round = 0; round < 50; round++) {
    const prng = new Prng(seed + round);
    const { clock, near, far, nearOwner, farOwner } = pair(prng);
    for (let step = 0; step < 6; step++) {
      const connection = prng.pick([near, far]);
      const other = () => connection.terminate({ cause: "closed", text: "dropped" });
      prng.pick([
        () => connection.close("done"),
        () => (prng.chance(1, 3) ? other() : undefined),
        () => post(connection, frameKind.message, 1, new Uint8Array(prng.int(0, 9000))),
        () => connection.flush(),
      ])();
      clock.run(prng.int(0, 2));
    }
    near.close("done");
    clock.run(60_000);
    expect(nearOwner.closings, `seed ${seed} round ${round}`).toHaveLength(1);
    expect(farOwner.closings, `seed ${seed} round ${round}`).toHaveLength(1);
    expect(clock.pendingCount).toBe(0);
  }
});

test("while a large frame arrives its sender gets signs of life, and for small pieces it gets none", () => {
  const { clock, near, far, nearSocket, farOwner } = pair(new Prng(seed));
  const bytes = new Uint8Array(64 * 1024);
  nearSocket.write(new Uint8Array([0, 0, 2, 0]));
  clock.run(1000);
  near.takeHeard();
  clock.run(1000);
  expect(near.takeHeard()).toBe(false);
  // The rest of the header, and half of the body, slowly: the frame is never whole, and no ping could be read behind it.
  for (let count = 0; count < 16; count++) {
    nearSocket.write(bytes.subarray(0, 4096));
    clock.run(250);
    if (count >= 8) expect(near.takeHeard()).toBe(true);
  }
  expect(farOwner.frames).toEqual([]);
  expect(far.isOpen).toBe(true);
});

test("a ping is answered once for all that came with it, and owners are told of neither", () => {
  const { clock, near, far, nearOwner, farOwner, farSocket } = pair(new Prng(seed));
  near.takeHeard();
  near.ping();
  clock.run(20);
  expect(near.takeHeard()).toBe(true);
  expect(farSocket.writeCount).toBeGreaterThan(0);
  far.ping();
  clock.run(20);
  expect(far.takeHeard()).toBe(true);
  expect([nearOwner.frames, farOwner.frames]).toEqual([[], []]);
});

test("a connection whose other side has ended asks for no sign of life", () => {
  const { clock, near, far, nearSocket, farSocket, farOwner } = pair(new Prng(seed));
  post(near, frameKind.request, 1, toUtf8("asked"));
  near.flush();
  clock.run(20);
  nearSocket.shutdown();
  clock.run(20);
  const writes = farSocket.writeCount;
  far.ping();
  expect(farSocket.writeCount).toBe(writes);
  expect(far.isOpen).toBe(true);
  expect(farOwner.closings).toEqual([]);
});
