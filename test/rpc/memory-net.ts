import type { Clock, Timer } from "../../src/env/clock.ts";
import type { Acceptor, ConnectFailure, Net, Socket, SocketHandler } from "../../src/env/net.ts";
import type { Prng } from "../../src/env/prng.ts";
import type { Bytes } from "../../src/lib/bytes.ts";

/** Time that stands still until `run` moves it; everything due runs in the order of its time, then of its making. */
export class ManualClock implements Clock {
  #nowMs = 0;
  #events: { at: number; run: () => void }[] = [];

  monotonicMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return 1_700_000_000_000 + Math.floor(this.#nowMs);
  }

  after(ms: number, run: () => void): Timer {
    const event = { at: this.#nowMs + ms, run };
    const place = this.#events.findIndex((other) => other.at > event.at);
    this.#events.splice(place < 0 ? this.#events.length : place, 0, event);
    return {
      cancel: () => {
        this.#events = this.#events.filter((other) => other !== event);
      },
    };
  }

  soon(run: () => void): void {
    this.after(0, run);
  }

  /** The process stands still for so long: what is due runs afterwards, late. */
  standStill(ms: number): void {
    this.#nowMs += ms;
  }

  /** Lets `ms` milliseconds pass. */
  run(ms: number): void {
    const until = this.#nowMs + ms;
    for (let first = this.#events[0]; first !== undefined && first.at <= until; first = this.#events[0]) {
      this.#events.shift();
      this.#nowMs = Math.max(this.#nowMs, first.at);
      first.run();
    }
    this.#nowMs = until;
  }

  get pendingCount(): number {
    return this.#events.length;
  }
}

/**
 * A network in memory that takes less than it is given, and delivers it in pieces of random size. Each port stands for a
 * machine with one process, seen from those that dial it.
 */
export class MemoryNet implements Net {
  readonly #clock: Clock;
  readonly #prng: Prng;
  readonly #capacityBytes: number;
  readonly #accepts = new Map<number, (socket: Socket) => SocketHandler>();
  /** Those who dialled, by the port they dialled. */
  readonly #dialledByPort = new Map<number, MemorySocket[]>();
  readonly #cutPorts = new Set<number>();
  #nextPort = 40_000;

  constructor(clock: Clock, prng: Prng, capacityBytes = 4096) {
    this.#clock = clock;
    this.#prng = prng;
    this.#capacityBytes = capacityBytes;
  }

  listen(_host: string, port: number, accept: (socket: Socket) => SocketHandler): Acceptor {
    const chosen = port === 0 ? this.#nextPort++ : port;
    this.#accepts.set(chosen, accept);
    return { port: chosen, close: () => this.#accepts.delete(chosen) };
  }

  connect(
    _host: string,
    port: number,
    opened: (socket: Socket) => SocketHandler,
    failed: (reason: string, kind: ConnectFailure) => void,
  ): { cancel(): void } {
    let isCancelled = false;
    this.#clock.after(1, () => {
      if (isCancelled || this.#cutPorts.has(port)) return;
      const accept = this.#accepts.get(port);
      if (accept === undefined) return failed("nothing listens there", "refused");
      const near = new MemorySocket(this.#clock, this.#prng, this.#capacityBytes, `server:${port}`);
      const far = new MemorySocket(
        this.#clock,
        this.#prng,
        this.#capacityBytes,
        `client:${this.#nextPort++}`,
      );
      near.peer = far;
      far.peer = near;
      this.#dialledByPort.set(port, [...(this.#dialledByPort.get(port) ?? []), near]);
      far.handler = accept(far);
      near.handler = opened(near);
    });
    return {
      cancel: () => {
        isCancelled = true;
      },
    };
  }

  /** Every connection to the port is reset, as by a proxy; both sides are told, and may dial anew. */
  reset(port: number): void {
    for (const socket of this.#takeDialled(port)) {
      socket.reset();
      socket.peer!.reset();
    }
  }

  /** The process that listens on the port is killed: it hears nothing more, its system resets the others. */
  kill(port: number): void {
    this.#accepts.delete(port);
    for (const socket of this.#takeDialled(port)) {
      socket.peer!.handler = undefined;
      socket.reset();
    }
  }

  /** The machine is cut off until `heal`: who is connected to it finds that out now, and dials are not answered. */
  cutOff(port: number): void {
    this.#cutPorts.add(port);
    for (const socket of this.#takeDialled(port)) {
      socket.peer!.handler = undefined;
      socket.reset("no answer came for too long");
    }
  }

  /**
   * Until `heal` nothing gets to the port or from there, and nobody is told. The connections that exist stay silent after the
   * healing, as TCP asks for what was lost only much later: until the function that is returned is called.
   */
  silence(port: number): () => void {
    this.#cutPorts.add(port);
    const sockets = [...(this.#dialledByPort.get(port) ?? [])].flatMap((near) => [near, near.peer!]);
    for (const socket of sockets) socket.isSilent = true;
    return () => {
      for (const socket of sockets) socket.resume();
    };
  }

  heal(port: number): void {
    this.#cutPorts.delete(port);
  }

  /** What is sent to the port over the connections that exist waits until the function that is returned is called. */
  holdBack(port: number): () => void {
    const sockets = [...(this.#dialledByPort.get(port) ?? [])];
    for (const socket of sockets) socket.isRead = false;
    return () => {
      for (const socket of sockets) socket.resume();
    };
  }

  #takeDialled(port: number): MemorySocket[] {
    const sockets = this.#dialledByPort.get(port) ?? [];
    this.#dialledByPort.delete(port);
    return sockets;
  }
}

export class MemorySocket implements Socket {
  readonly remote: string;
  readonly #clock: Clock;
  readonly #prng: Prng;
  readonly #capacityBytes: number;
  peer: MemorySocket | undefined = undefined;
  handler: SocketHandler | undefined = undefined;
  /** Written and not yet delivered. */
  #flight: number[] = [];
  #isScheduled = false;
  #mustDrain = false;
  #isShut = false;
  #isEndTold = false;
  #isDead = false;
  /** The other side reads nothing while this is false. */
  isRead = true;
  /** Nothing that is sent arrives, not even that the connection was dropped. */
  isSilent = false;
  writeCount = 0;

  constructor(clock: Clock, prng: Prng, capacityBytes: number, remote: string) {
    this.#clock = clock;
    this.#prng = prng;
    this.#capacityBytes = capacityBytes;
    this.remote = remote;
  }

  write(memory: Bytes, from = 0, to = memory.length): number {
    const bytes = memory.subarray(from, to);
    if (this.#isDead || this.#isShut) return -1;
    this.writeCount++;
    const room = Math.min(bytes.length, this.#capacityBytes - this.#flight.length);
    const count = this.#prng.chance(1, 2) ? room : this.#prng.int(0, room);
    for (const byte of bytes.subarray(0, count)) this.#flight.push(byte);
    this.#mustDrain = count < bytes.length;
    this.#deliverSoon();
    return count;
  }

  shutdown(): void {
    this.#isShut = true;
    this.#deliverSoon();
  }

  terminate(): void {
    if (this.#isDead) return;
    this.#die("dropped");
    const peer = this.peer;
    if (this.isSilent) return;
    this.#clock.soon(() => {
      if (peer !== undefined) peer.#die("reset by the other side");
    });
  }

  /** Goes on delivering after `isRead` was false or `isSilent` was set. */
  resume(): void {
    this.isRead = true;
    this.isSilent = false;
    this.#deliverSoon();
  }

  reset(reason = "reset by the other side"): void {
    this.#die(reason);
  }

  #die(reason: string): void {
    if (this.#isDead) return;
    this.#isDead = true;
    this.#flight = [];
    this.#clock.soon(() => this.handler?.closed(reason));
  }

  #deliverSoon(): void {
    if (this.#isScheduled || this.#isDead) return;
    this.#isScheduled = true;
    this.#clock.after(this.#prng.int(0, 1), () => {
      this.#isScheduled = false;
      this.#deliver();
    });
  }

  #deliver(): void {
    if (this.#isDead || !this.isRead || this.isSilent) return;
    if (this.#flight.length > 0) {
      const count = this.#prng.int(1, this.#flight.length);
      this.peer?.handler?.data(new Uint8Array(this.#flight.splice(0, count)));
    }
    if (this.#isDead) return;
    if (this.#mustDrain) {
      this.#mustDrain = false;
      this.handler?.drain();
    }
    if (this.#flight.length > 0 || this.#mustDrain) this.#deliverSoon();
    else if (this.#isShut && !this.#isEndTold) this.#tellEnd();
  }

  #tellEnd(): void {
    this.#isEndTold = true;
    const peer = this.peer!;
    if (!peer.#isDead) peer.handler?.ended();
    if (!peer.#isEndTold) return;
    this.#die("both sides have ended");
    peer.#die("both sides have ended");
  }
}
