import type { Socket } from "bun";
import { BunNet } from "../../src/env/bun-net.ts";
import type { Prng } from "../../src/env/prng.ts";
import { frameKind } from "../../src/rpc/frame.ts";
import { frameHeaderBytes } from "../../src/rpc/limits.ts";
import { dataRetransmissionMs, retransmissionMs } from "../sim/retransmission.ts";
import { freePorts } from "./ports.ts";

/** What a proxy does to frames, both ways. Hellos always pass: without them there is no connection to lose from. */
export interface Weather {
  /** Of 100 frames so many are dropped. */
  readonly lossPercent: number;
  /** Of 100 frames so many are held back, and overtaken by those behind them. */
  readonly delayPercent: number;
  readonly delayMsMin: number;
  readonly delayMsMax: number;
}

/** TCP cannot lose what it carries, so a proxy stands in the way and loses whole frames. */
export class FrameProxy {
  readonly port: number;
  weather: Weather | undefined;
  dropped = 0;
  delayed = 0;
  /** Pieces that came while it was frozen. */
  keptBack = 0;
  #isFrozen = false;
  readonly #connections = new Set<Side>();
  readonly #listener;

  constructor(targetPort: number, prng: Prng, weather?: Weather) {
    this.port = freePorts(1)[0]!;
    this.weather = weather;
    this.#listener = Bun.listen<Side>({
      hostname: "127.0.0.1",
      port: this.port,
      socket: {
        open: (socket) => {
          const near = new Side(socket, this, prng);
          const far = new Side(undefined, this, prng);
          near.other = far;
          far.other = near;
          socket.data = near;
          this.#connections.add(near);
          Bun.connect<Side>({
            hostname: "127.0.0.1",
            port: targetPort,
            socket: {
              ...events,
              open: (target) => {
                target.data = far;
                far.opened(target);
              },
              connectError: () => socket.terminate(),
            },
          }).catch(() => socket.terminate());
        },
        ...events,
      },
    });
  }

  get isFrozen(): boolean {
    return this.#isFrozen;
  }

  /**
   * A frozen proxy keeps its connections, takes new ones, and passes nothing: a stand-in for a network that drops every packet in silence.
   * After the thaw what was kept back comes as late as TCP would bring it.
   */
  set isFrozen(isFrozen: boolean) {
    if (this.#isFrozen === isFrozen) return;
    this.#isFrozen = isFrozen;
    if (!isFrozen) for (const side of this.#connections) side.thaw();
  }

  /** Ends all connections at once, as a reset does; who dials again is served. Yields how many there were. */
  reset(): number {
    const count = this.#connections.size;
    for (const side of this.#connections) side.closed();
    return count;
  }

  /** A connection has ended; called with either of its sides. */
  ended(side: Side): void {
    this.#connections.delete(side);
  }

  close(): void {
    this.#listener.stop(true);
  }
}

/**
 * Connects to other ports than it is asked to. For clients: a node that leads tells them its own address, and they
 * would go round the proxy.
 */
export class RoutedNet extends BunNet {
  readonly #portByPort: ReadonlyMap<number, number>;

  constructor(portByPort: ReadonlyMap<number, number>) {
    super();
    this.#portByPort = portByPort;
  }

  override connect(...[host, port, ...handlers]: Parameters<BunNet["connect"]>): { cancel(): void } {
    return super.connect(host, this.#portByPort.get(port) ?? port, ...handlers);
  }
}

const events = {
  data: (socket: Socket<Side>, bytes: Buffer) => socket.data?.data(bytes),
  drain: (socket: Socket<Side>) => socket.data?.flush(),
  close: (socket: Socket<Side>) => socket.data?.closed(),
};

/** One of the two sockets of a connection. What it receives goes to the other one. */
class Side {
  other: Side | undefined;
  #socket: Socket<Side> | undefined;
  readonly #proxy: FrameProxy;
  readonly #prng: Prng;
  #received: Buffer = Buffer.alloc(0);
  #queue: Buffer[] = [];
  /** What came while the proxy was frozen, and when the first of it did. */
  #kept: Buffer[] = [];
  #keptSinceMs: number | undefined = undefined;
  #isClosed = false;

  constructor(socket: Socket<Side> | undefined, proxy: FrameProxy, prng: Prng) {
    this.#socket = socket;
    this.#proxy = proxy;
    this.#prng = prng;
  }

  opened(socket: Socket<Side>): void {
    this.#socket = socket;
    if (this.#isClosed) socket.terminate();
    else this.flush();
  }

  data(bytes: Buffer): void {
    if (this.#proxy.isFrozen || this.#keptSinceMs !== undefined) {
      this.#keptSinceMs ??= performance.now();
      this.#kept.push(bytes);
      this.#proxy.keptBack++;
      return;
    }
    this.#received = Buffer.concat([this.#received, bytes]);
    while (this.#received.length >= frameHeaderBytes) {
      const total = frameHeaderBytes + this.#received.readUInt32LE(0);
      if (this.#received.length < total) return;
      this.#pass(this.#received.subarray(0, total));
      this.#received = this.#received.subarray(total);
    }
  }

  /** Both sides of the connection go on, each when TCP would send again what was kept back first. */
  thaw(): void {
    for (const side of [this, this.other!]) side.#thawLater();
  }

  #thawLater(): void {
    if (this.#keptSinceMs === undefined) return;
    const nowMs = performance.now();
    const atMs = retransmissionMs(this.#keptSinceMs, nowMs, dataRetransmissionMs);
    setTimeout(() => {
      if (this.#isClosed || this.#keptSinceMs === undefined) return;
      if (this.#proxy.isFrozen) return;
      this.#keptSinceMs = undefined;
      const kept = Buffer.concat(this.#kept.splice(0));
      if (kept.length > 0) this.data(kept);
    }, atMs - nowMs).unref();
  }

  send(frame: Buffer): void {
    if (this.#isClosed) return;
    this.#queue.push(frame);
    this.flush();
  }

  flush(): void {
    while (this.#socket !== undefined && this.#queue.length > 0) {
      const [first] = this.#queue;
      const count = this.#socket.write(first!);
      if (count < 0) return;
      if (count < first!.length) {
        this.#queue[0] = first!.subarray(count);
        return;
      }
      this.#queue.shift();
    }
  }

  closed(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#proxy.ended(this);
    this.#socket?.terminate();
    this.other?.closed();
  }

  #pass(frame: Buffer): void {
    const kind = frame[8];
    const { weather } = this.#proxy;
    const isHello = kind === frameKind.hello || kind === frameKind.helloReply;
    if (weather === undefined || isHello) return this.other!.send(frame);
    if (this.#prng.chance(weather.lossPercent, 100)) {
      this.#proxy.dropped++;
      return;
    }
    if (!this.#prng.chance(weather.delayPercent, 100)) return this.other!.send(frame);
    this.#proxy.delayed++;
    const delayMs = this.#prng.int(weather.delayMsMin, weather.delayMsMax);
    setTimeout(() => this.other!.send(frame), delayMs);
  }
}
