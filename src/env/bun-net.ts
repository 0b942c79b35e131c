import type { SocketHandler as RawHandler, Socket as RawSocket } from "bun";
import type { Bytes } from "../lib/bytes.ts";
import { KvraftError } from "../lib/error.ts";
import type { Acceptor, ConnectFailure, Net, Socket, SocketHandler } from "./net.ts";

/** After so much silence the system asks whether the other side still exists: a machine that lost power sends no FIN. */
const keepAliveMs = 15_000;

/**
 * TCP by Bun. Both sides allow half-open connections, so that the FIN of one loses no reply of the other. There is no
 * `error` handler on purpose: with one, Bun would hand it what our handlers throw, and a broken invariant must reach
 * the process instead. A side that has ended itself is told `closed` when the other one ends too, without `ended`.
 */
export class BunNet implements Net {
  listen(host: string, port: number, accept: (socket: Socket) => SocketHandler): Acceptor {
    try {
      const listener = Bun.listen<BunSocket>({
        hostname: host,
        port,
        allowHalfOpen: true,
        socket: { ...events, open: (raw) => new BunSocket(raw).opened(accept) },
      });
      return { port: listener.port, close: () => listener.stop() };
    } catch (error) {
      const address = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
      throw new KvraftError("IO_ERROR", `Cannot listen on ${address}: ${whyNot(error)}`, { cause: error });
    }
  }

  connect(
    host: string,
    port: number,
    opened: (socket: Socket) => SocketHandler,
    failed: (reason: string, kind: ConnectFailure) => void,
  ): { cancel(): void } {
    let isCancelled = false;
    // A throw in `connectError` would become a rejection that nobody sees; from setImmediate it reaches the process.
    const tell = (code: string, kind: ConnectFailure) =>
      setImmediate(() => {
        if (!isCancelled) failed(whyUnreachable(code), kind);
      });
    const fail = (error: unknown) => {
      const code = String(codeOf(error) ?? error);
      if (code !== "ECONNREFUSED") tell(code, code === "ECONNRESET" ? "reset" : "unreachable");
      else void noRouteTo(host, port).then((cause) => tell(cause ?? code, cause ? "unreachable" : "refused"));
    };
    const open = (raw: RawSocket<BunSocket>) => {
      if (isCancelled) raw.terminate();
      else new BunSocket(raw).opened(opened);
    };
    try {
      Bun.connect<BunSocket>({
        hostname: host,
        port,
        allowHalfOpen: true,
        socket: { ...events, open, connectError: () => {} },
      }).catch(fail);
    } catch (error) {
      fail(error);
    }
    return {
      cancel: () => {
        isCancelled = true;
      },
    };
  }
}

/** `data` is absent on sockets that were cancelled while they were dialled. */
const events: RawHandler<BunSocket> = {
  binaryType: "uint8array",
  data: (raw, bytes) => raw.data?.onData(bytes),
  drain: (raw) => raw.data?.onDrain(),
  end: (raw) => raw.data?.onEnd(),
  close: (raw, error) => raw.data?.onClose(error),
};

class BunSocket implements Socket {
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

  write(bytes: Bytes): number {
    if (this.#isTerminated) return -1;
    this.#isInside = true;
    const count = this.#raw.write(bytes);
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

function whyNot(error: unknown): string {
  const code = codeOf(error);
  if (code === "EADDRINUSE")
    return "the port is in use by another process; stop that process or choose another port";
  if (code === "EADDRNOTAVAIL")
    return "this machine has no such address; listen on one of its own, or on 0.0.0.0 for all";
  if (code === "EACCES") return "the port needs special rights; choose one of 1024 or higher";
  if (code === "ERR_OUT_OF_RANGE") return "the port is out of range; choose one from 0 to 65535";
  return `${code ?? "the host is unknown"}; check that the host is an address of this machine`;
}

/**
 * The code of the error when this machine cannot even try to reach the host, else undefined. Bun's dials say ECONNREFUSED
 * also when the network or the host is unreachable, and "nothing listens there" must not be said of a host that nobody has
 * asked. To connect a UDP socket sends nothing, and tells the truth about the routes. It cannot tell that a host of our
 * own network segment is silent: the system gives up on such a one after three seconds, later than our dials do.
 */
async function noRouteTo(host: string, port: number): Promise<string | undefined> {
  try {
    const probe = await Bun.udpSocket({
      hostname: host.includes(":") ? "::" : "0.0.0.0",
      connect: { hostname: host, port },
      socket: {},
    });
    probe.close();
    return undefined;
  } catch (error) {
    const code = codeOf(error);
    // A host that has IPv6 addresses only does not fit the probe's socket.
    return code === "EAFNOSUPPORT" ? undefined : String(code ?? error);
  }
}

function whyUnreachable(code: string): string {
  if (code === "ECONNREFUSED") return "the connection was refused, nothing listens there";
  if (code === "ECONNRESET") return "the other side reset the connection while it was made";
  if (code === "ENETUNREACH" || code === "EHOSTUNREACH") return "this machine has no way to the host";
  if (code === "ENOTFOUND") return "the host is unknown";
  return code;
}

function whyLost(error: Error): string {
  const code = codeOf(error);
  if (code === "ECONNRESET") return "the other side reset the connection";
  return code ?? error.message;
}

function codeOf(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}
