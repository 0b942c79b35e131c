import { expect, test } from "bun:test";
import { Prng } from "../../src/env/prng.ts";
import { ByteWriter } from "../../src/lib/codec.ts";
import { Connection } from "../../src/rpc/connection.ts";
import { beginFrame, endFrame, frameKind } from "../../src/rpc/frame.ts";
import { HeldBytes, type Holder } from "../../src/rpc/held-bytes.ts";
import { ManualClock } from "./memory-net.ts";

class FakeHolder implements Holder {
  heldBytes = 0;
  isCut = false;
  readonly #held: HeldBytes;

  constructor(held: HeldBytes) {
    this.#held = held;
    held.add(this);
  }

  hold(bytes: number): void {
    const more = bytes - this.heldBytes;
    this.heldBytes = bytes;
    this.#held.changed(more);
  }

  terminate(): void {
    this.isCut = true;
    this.hold(0);
    this.#held.delete(this);
  }
}

test("when all hold too much together, those that hold the most are cut off, and no more of them than needed", () => {
  const held = new HeldBytes("clients", 1_000);
  const holders = Array.from({ length: 10 }, () => new FakeHolder(held));
  holders.forEach((holder, at) => {
    holder.hold(20 * at);
  });
  expect(held.bytes).toBe(900);
  holders[0]!.hold(120);
  // 1,020 are too many; without the largest, 180, they are below seven eighths.
  expect(holders.map(({ isCut }) => isCut)).toEqual([...new Array(9).fill(false), true]);
  expect(held.bytes).toBe(840);
  expect(held.takeFreed()).toBe(180);
  expect(held.takeFreed()).toBe(0);
});

test("whatever connections do, the sum is that of their parts and stays below the bound", () => {
  const prng = new Prng(7);
  const held = new HeldBytes("clients", 5_000);
  let holders = Array.from({ length: 30 }, () => new FakeHolder(held));
  for (let step = 0; step < 3_000; step++) {
    prng.pick(holders).hold(prng.int(0, 900));
    holders = holders.map((holder) => (holder.isCut ? new FakeHolder(held) : holder));
    expect(held.bytes).toBe(holders.reduce((sum, { heldBytes }) => sum + heldBytes, 0));
    expect(held.bytes).toBeLessThanOrEqual(5_000);
  }
});

/** A connection over a socket that takes what it is told to take. */
function connect(held: HeldBytes) {
  const clock = new ManualClock();
  const closings: string[] = [];
  const socket = {
    remote: "client:1",
    room: 0,
    write(bytes: Uint8Array, from = 0, to = bytes.length) {
      const count = Math.min(to - from, this.room);
      this.room -= count;
      return count;
    },
    shutdown() {},
    terminate() {},
  };
  const connection = new Connection(
    clock,
    socket,
    { frame() {}, closed: (_, closing) => closings.push(closing.text) },
    { side: "accepted" },
  );
  connection.establish();
  connection.countIn(held);
  return { clock, closings, socket, connection };
}

function request(bytes: number): Uint8Array {
  const output = new ByteWriter();
  const start = beginFrame(output, frameKind.request, 1, 1);
  output.raw(new Uint8Array(bytes));
  endFrame(output, start);
  return output.take();
}

test("a connection counts unfinished frames and unread replies, and nothing once they are gone", () => {
  const held = new HeldBytes("clients", 100_000_000);
  const { clock, connection, socket } = connect(held);
  const idle = held.bytes;
  connection.data(request(100_000).subarray(0, 60_000));
  expect(held.bytes - idle).toBeGreaterThanOrEqual(60_000);
  connection.data(request(100_000).subarray(60_000));
  expect(held.bytes).toBe(idle);
  connection.begin(frameKind.reply, 1, 1)!.raw(new Uint8Array(400_000));
  connection.end();
  connection.flush();
  expect(held.bytes - idle).toBeGreaterThan(390_000);
  socket.room = 1_000_000;
  connection.drain();
  expect(held.bytes).toBe(idle);
  connection.data(request(100_000).subarray(0, 60_000));
  connection.terminate({ cause: "lost", text: "enough" });
  clock.run(1);
  expect(held.bytes).toBe(0);
});

test("a frame that stands still is cut off; a slow one, and one that ended and began anew, are not", () => {
  const { clock, closings, connection } = connect(new HeldBytes("clients", 100_000_000));
  const bytes = request(10_000);
  connection.checkProgress(1_000);
  connection.data(bytes.subarray(0, 500));
  connection.checkProgress(1_000);
  connection.data(bytes.subarray(500, 1_500));
  connection.checkProgress(1_000);
  // It ends, and of the next one as much is there: that is no standstill.
  connection.data(bytes.subarray(1_500));
  connection.data(bytes.subarray(0, 1_501));
  connection.checkProgress(1_000);
  expect(connection.isOpen).toBe(true);
  connection.data(bytes.subarray(1_501, 2_500));
  connection.checkProgress(1_000);
  clock.run(1);
  expect(closings).toEqual(["a frame stands still after 2500 bytes"]);
});
