import type { ConnectFailure, Net, Socket, SocketHandler } from "../../src/env/net.ts";
import { Prng } from "../../src/env/prng.ts";
import { type Bytes, concatBytes } from "../../src/lib/bytes.ts";
import { ByteWriter } from "../../src/lib/codec.ts";
import { beginFrame, endFrame, type FrameKind, FrameParser, frameKind } from "../../src/rpc/frame.ts";
import { type NetWeather, SimNet } from "./sim-net.ts";
import { SimProcess } from "./sim-process.ts";
import { Timeline } from "./timeline.ts";

export const calm: NetWeather = {
  latencyMsMin: 1,
  latencyMsMax: 1,
  lossPerMille: 0,
  duplicatePerMille: 0,
  delayPerMille: 0,
  delayMsMax: 0,
  isChopped: false,
};

export interface Host {
  readonly name: string;
  readonly process: SimProcess;
  readonly net: Net;
}

/** A network of hosts in virtual time, which moves when a test says so. */
export class World {
  readonly timeline = new Timeline();
  readonly weather: NetWeather;
  readonly net: SimNet;

  constructor(weather: Partial<NetWeather> = {}, seed = 1) {
    this.weather = { ...calm, ...weather };
    this.net = new SimNet(this.timeline, new Prng(seed), this.weather);
  }

  host(name: string): Host {
    const process = new SimProcess(this.timeline, { name, lookMs: 0 });
    return { name, process, net: this.net.of(process, name) };
  }

  run(ms: number): void {
    const untilMs = this.timeline.nowMs + ms;
    this.timeline.at(untilMs, undefined, () => {});
    while (this.timeline.nextMs <= untilMs) this.timeline.runNext();
  }

  kill(host: Host, how: "reset" | "silent"): void {
    host.process.die();
    this.net.died(host.process, host.name, how);
  }

  listen(on: Host, port = 5001): Side[] {
    const sides: Side[] = [];
    on.net.listen(on.name, port, (socket) => {
      const side = new Side(this, socket);
      sides.push(side);
      return side;
    });
    return sides;
  }

  dial(from: Host, to: string, port = 5001): Dialled {
    const dialled: Dialled = { side: undefined, failures: [], kinds: [], openedMs: -1, cancel: () => {} };
    const { cancel } = from.net.connect(
      to,
      port,
      (socket) => {
        dialled.openedMs = this.timeline.nowMs;
        dialled.side = new Side(this, socket);
        return dialled.side;
      },
      (reason, kind) => {
        dialled.failures.push(`${this.timeline.nowMs}: ${reason}`);
        dialled.kinds.push(kind);
      },
    );
    dialled.cancel = cancel;
    return dialled;
  }

  /** Two machines `a` (the dialler) and `b`, connected. */
  pair(): { a: Host; b: Host; near: Side; far: Side } {
    const a = this.host("a");
    const b = this.host("b");
    const accepted = this.listen(b);
    const dialled = this.dial(a, "b");
    while (dialled.side === undefined) this.timeline.runNext();
    return { a, b, near: dialled.side, far: accepted[0]! };
  }
}

export interface Dialled {
  side: Side | undefined;
  failures: string[];
  kinds: ConnectFailure[];
  openedMs: number;
  cancel: () => void;
}

/** One side of a connection that remembers what it was told and when, and that no call nested in another. */
export class Side implements SocketHandler {
  readonly told: string[] = [];
  readonly pieces: Bytes[] = [];
  readonly timesMs: number[] = [];
  rest: Bytes = new Uint8Array(0);
  isInside = false;
  onData: (() => void) | undefined;
  readonly #world: World;
  readonly #socket: Socket;
  readonly #parser = new FrameParser(32 * 1024 * 1024);
  /** The numbers of the frames that arrived, see `numbered`. */
  readonly numbers: number[] = [];

  constructor(world: World, socket: Socket) {
    this.#world = world;
    this.#socket = socket;
  }

  get socket(): Socket {
    return this.#socket;
  }

  get received(): Bytes {
    return concatBytes(this.pieces);
  }

  get error(): string | undefined {
    return this.#parser.error;
  }

  inside<T>(run: () => T): T {
    this.isInside = true;
    const result = run();
    this.isInside = false;
    return result;
  }

  /** Writes everything, as there is room. */
  send(bytes: Bytes): void {
    this.rest = concatBytes([this.rest, bytes]);
    this.#pump();
  }

  data(bytes: Bytes): void {
    this.#note("data");
    this.pieces.push(bytes);
    this.timesMs.push(this.#world.timeline.nowMs);
    this.onData?.();
    if (this.error !== undefined) return;
    this.#parser.feed(bytes.slice());
    for (let frame = this.#parser.next(); frame !== undefined; frame = this.#parser.next())
      this.numbers.push(frame.requestId);
  }

  drain(): void {
    this.#note("drain");
    this.#pump();
  }

  ended(): void {
    this.#note("ended");
  }

  closed(reason: string): void {
    this.#note(`closed: ${reason}`);
  }

  #pump(): void {
    if (this.rest.length === 0) return;
    const count = this.inside(() => this.#socket.write(this.rest));
    this.rest = this.rest.subarray(Math.max(count, 0));
  }

  #note(what: string): void {
    if (this.isInside) this.told.push("NESTED");
    if (this.told.at(-1) !== what) this.told.push(what);
  }
}

export function frame(kind: FrameKind, number: number, bodyBytes = 8): Bytes {
  const output = new ByteWriter(64);
  const start = beginFrame(output, kind, 1, number);
  output.raw(new Uint8Array(bodyBytes).fill(number));
  endFrame(output, start);
  return output.view().slice();
}

export const message = (number: number, bodyBytes = 8) => frame(frameKind.message, number, bodyBytes);
export const upTo = (count: number) => Array.from({ length: count }, (_, at) => at + 1);
export const isAscending = (numbers: number[]) =>
  numbers.every((number, at) => at === 0 || numbers[at - 1]! < number);

/** Sends frames 1, 2, 3..., one a millisecond. */
export function sendNumbered(
  world: World,
  side: Side,
  count: number,
  kind: FrameKind = frameKind.message,
): void {
  for (const number of upTo(count)) {
    side.send(frame(kind, number));
    world.run(1);
  }
}

export function patterned(length: number): Bytes {
  const bytes = new Uint8Array(length);
  for (let at = 16; at < length; at++) bytes[at] = at % 251;
  // Claims to be a message of 80 MiB, which no frame is.
  bytes.set([0, 0, 0, 5, 0, 0, 0, 0, frameKind.message]);
  return bytes;
}

export const closedText = "closed: the connection is closed";
export const resetText = "closed: the other side reset the connection";
export const refusedText = "the connection was refused, nothing listens there";
