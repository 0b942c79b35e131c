import type { SocketHandler as RawHandler, Socket as RawSocket } from "bun";
import type { Bytes } from "../lib/bytes.ts";
import { codeOf } from "./error-code.ts";
import type { Socket, SocketHandler } from "./net.ts";

/** After so much silence the system asks whether the other side still exists: a machine that lost power sends no FIN. */
const keepAliveMs = 15_000;

/** For Bun: what a socket hands to its BunSocket. */
export const events: RawHandler<BunSocket> = {
  binaryType: "uint8array",
  data: (raw, bytes) => raw.data?.onData(bytes),
  drain: (raw) => raw.data?.onDrain(),
  end: (raw) => raw.data?.onEnd(),
  close: (raw, error) => raw.data?.onClose(error),
};

/** A connection of Bun's, as `Net` promises it. */
export class BunSocket implements Socket {
  readonly remote: string;
  readonly #raw: RawSocket<BunSocket>;
  #handler: SocketHandler | undefined;
  /** Nothing but `closed` is told after the owner dropped the connection. */
  #isTerminated = false;
  /** Bun calls `close` from inside `terminate`; ours is told in a later turn, so that calls never nest. */
  #isInside = false;

  constructor(raw: RawSocket<BunSocket>) {
    this.#raw = raw;
    raw.data = this;
    raw.setKeepAlive(true, keepAliveMs);
    // The types do not say so, but there is none when the other side has reset the connection already.
    const host: string | undefined = raw.remoteAddress;
    if (host === undefined) this.remote = "a peer that is gone";
    else this.remote = host.includes(":") ? `[${host}]:${raw.remotePort}` : `${host}:${raw.remotePort}`;
  }

  opened(accept: (socket: Socket) => SocketHandler): void {
    this.#handler = accept(this);
  }

  write(bytes: Bytes, from = 0, to = bytes.length): number {
    if (this.#isTerminated) return -1;
    this.#isInside = true;
    const count = this.#raw.write(bytes, from, to - from);
    this.#isInside = false;
    return count;
  }

  shutdown(): void {
    if (this.#isTerminated) return;
    this.#isInside = true;
    this.#raw.shutdown();
    this.#isInside = false;
  }

  terminate(): void {
    if (this.#isTerminated) return;
    this.#isTerminated = true;
    this.#isInside = true;
    this.#raw.terminate();
    this.#isInside = false;
  }

  pause(): void {
    if (!this.#isTerminated) this.#raw.pause();
  }

  resume(): void {
    if (!this.#isTerminated) this.#raw.resume();
  }

  onData(bytes: Bytes): void {
    if (!this.#isTerminated) this.#handler?.data(bytes);
  }

  onDrain(): void {
    if (!this.#isTerminated) this.#handler?.drain();
  }

  onEnd(): void {
    if (!this.#isTerminated) this.#handler?.ended();
  }

  onClose(error: Error | undefined): void {
    // A close from inside `opened` finds no handler yet: the next turn has it.
    if (this.#isInside || this.#handler === undefined) setImmediate(() => this.#closed(error));
    else this.#closed(error);
  }

  #closed(error: Error | undefined): void {
    const handler = this.#handler;
    this.#handler = undefined;
    handler?.closed(error === undefined ? "the connection is closed" : whyLost(error));
  }
}

function whyLost(error: Error): string {
  const code = codeOf(error);
  if (code === "ECONNRESET") return "the other side reset the connection";
  return code ?? error.message;
}
