import { KvraftError } from "../lib/error.ts";
import { BunClock } from "./bun-clock.ts";
import { BunDial } from "./bun-dial.ts";
import { BunSocket, events } from "./bun-socket.ts";
import { codeOf } from "./error-code.ts";
import { HostNames } from "./host-names.ts";
import type { Acceptor, ConnectFailure, Net, Socket, SocketHandler } from "./net.ts";

/**
 * TCP by Bun. Both sides allow half-open connections, so that the FIN of one loses no reply of the other. There is no
 * `error` handler on purpose: with one, Bun would hand it what our handlers throw, and a broken invariant must reach
 * the process instead. A side that has ended itself is told `closed` when the other one ends too, without `ended`.
 */
export class BunNet implements Net {
  readonly #clock = new BunClock();
  readonly #names = new HostNames(this.#clock);

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
    return new BunDial(this.#clock, this.#names, host, port, opened, failed).start();
  }
}

function whyNot(error: unknown): string {
  const code = codeOf(error);
  if (code === "EADDRINUSE")
    return "the port is in use by another process; stop that process or choose another port";
  if (code === "EADDRNOTAVAIL")
    return "this machine has no such address; listen on one of its own, or on all of them (the key listen)";
  if (code === "EACCES") return "the port needs special rights; choose one of 1024 or higher";
  if (code === "ERR_OUT_OF_RANGE") return "the port is out of range; choose one from 0 to 65535";
  return `${code ?? "the host is unknown"}; check that the host is an address of this machine`;
}
