import { expect, test } from "bun:test";
import { ByteWriter } from "../../src/lib/codec.ts";
import { Connection } from "../../src/rpc/connection.ts";
import { beginFrame, endFrame, type Frame, frameKind } from "../../src/rpc/frame.ts";
import { HeldBytes } from "../../src/rpc/held-bytes.ts";
import { unreadChunksMax } from "../../src/rpc/limits.ts";
import { ReadTurns } from "../../src/rpc/read-turns.ts";

/** Time that passes only where a frame is handled, and turns that run one by one. */
class Scene {
  nowMs = 0;
  isBehind = false;
  readonly handled: string[] = [];
  #soon: (() => void)[] = [];
  readonly turns: ReadTurns;
  readonly #clock = {
    monotonicMs: () => this.nowMs,
    wallMs: () => 0,
    after: () => ({ cancel() {} }),
    soon: (run: () => void) => void this.#soon.push(run),
  };

  constructor(bytesMax = 1_000_000_000) {
    this.turns = new ReadTurns(this.#clock, { ms: 4, bytesMax, isBehind: () => this.isBehind });
  }

  connect(name: string) {
    const socket = {
      remote: name,
      isPaused: false,
      write: (bytes: Uint8Array, from = 0, to = bytes.length) => to - from,
      shutdown() {},
      terminate() {},
      pause: () => {
        socket.isPaused = true;
      },
      resume: () => {
        socket.isPaused = false;
      },
    };
    const frame = (_: unknown, { requestId }: Frame) => {
      this.nowMs += 0.1;
      this.handled.push(`${name}${requestId}`);
    };
    const owner = { frame, closed: () => void this.handled.push(`${name} closed`) };
    const connection = new Connection(this.#clock, socket, owner, { side: "accepted" });
    connection.establish();
    connection.countIn(new HeldBytes("clients", 1_000_000_000), this.turns);
    return { connection, socket };
  }

  /** One turn of the event loop; returns what was handled in it, and how long it took. */
  turn(): { handled: string[]; ms: number } {
    const [before, count] = [this.nowMs, this.handled.length];
    for (const run of this.#soon.splice(0)) run();
    return { handled: this.handled.slice(count), ms: this.nowMs - before };
  }
}

function requests(count: number): Uint8Array {
  const output = new ByteWriter();
  for (let id = 1; id <= count; id++) {
    const start = beginFrame(output, frameKind.request, 1, id);
    output.raw(new Uint8Array(100));
    endFrame(output, start);
  }
  return output.take();
}

test("a burst takes a few milliseconds of each turn, and all of it is handled, in order", () => {
  const scene = new Scene();
  const { connection, socket } = scene.connect("a");
  connection.data(requests(1_000));
  expect(scene.nowMs).toBeLessThan(6);
  expect(socket.isPaused).toBe(true);
  let turns = 0;
  for (; socket.isPaused; turns++) expect(scene.turn().ms).toBeLessThan(6);
  expect(turns).toBeGreaterThan(15);
  expect(scene.handled).toEqual(Array.from({ length: 1_000 }, (_, at) => `a${at + 1}`));
});

test("others come in between: a request of another client is handled within two turns", () => {
  const scene = new Scene();
  const bursts = ["a", "b", "c"].map((name) => scene.connect(name));
  for (const { connection } of bursts) connection.data(requests(1_000));
  scene.turn();
  const other = scene.connect("other ");
  other.connection.data(requests(1));
  // Those that stand in line already have sixteen frames each before it.
  const handled = [...scene.turn().handled, ...scene.turn().handled];
  expect(handled).toContain("other 1");
  for (const name of ["a", "b"]) expect(handled.some((line) => line.startsWith(name))).toBe(true);
  while (bursts.some(({ socket }) => socket.isPaused)) scene.turn();
  expect(scene.handled).toHaveLength(3_001);
});

test("while what was read waits to be done, nothing more is read", () => {
  const scene = new Scene();
  const { connection, socket } = scene.connect("a");
  scene.isBehind = true;
  connection.data(requests(1_000));
  for (let turn = 0; turn < 5; turn++) expect(scene.turn().handled).toEqual([]);
  scene.isBehind = false;
  while (socket.isPaused) scene.turn();
  expect(scene.handled).toHaveLength(1_000);
});

test("a socket is not stopped for a few small requests, and is for many pieces or bytes", () => {
  const scene = new Scene();
  const { connection, socket } = scene.connect("a");
  scene.isBehind = true;
  for (let piece = 1; piece < unreadChunksMax; piece++) connection.data(requests(1));
  expect(socket.isPaused).toBe(false);
  connection.data(requests(1));
  expect(socket.isPaused).toBe(true);
  const other = scene.connect("b");
  other.connection.data(requests(500));
  expect(other.socket.isPaused).toBe(false);
  other.connection.data(requests(100));
  expect(other.socket.isPaused).toBe(true);
  scene.isBehind = false;
  for (let turn = 0; turn < 40; turn++) scene.turn();
  expect([socket.isPaused, other.socket.isPaused]).toEqual([false, false]);
  expect(scene.handled).toHaveLength(unreadChunksMax + 600);
});

test("large requests have a bound on bytes", () => {
  const scene = new Scene(1_000_000);
  const { connection } = scene.connect("a");
  const output = new ByteWriter();
  const start = beginFrame(output, frameKind.request, 1, 1);
  output.raw(new Uint8Array(900_000));
  endFrame(output, start);
  const large = output.take();
  for (let count = 0; count < 5; count++) connection.data(large.slice());
  expect(scene.handled.length).toBe(2);
  for (let turn = 0; turn < 2; turn++) scene.turn();
  expect(scene.handled.length).toBeGreaterThan(3);
  for (let turn = 0; turn < 5; turn++) scene.turn();
  expect(scene.handled.length).toBe(5);
});

test("an end is noticed after what came before it, and what is cut off reads no more", () => {
  const scene = new Scene();
  const ending = scene.connect("a");
  const cut = scene.connect("b");
  ending.connection.data(requests(500));
  cut.connection.data(requests(500));
  ending.connection.ended();
  cut.connection.terminate({ cause: "lost", text: "enough" });
  for (let turn = 0; turn < 40; turn++) scene.turn();
  expect(scene.handled.filter((line) => line.startsWith("a"))).toHaveLength(500);
  expect(scene.handled.filter((line) => line.startsWith("b"))).toEqual(["b closed"]);
});
