import type { Bytes } from "../lib/bytes.ts";

/** What a socket tells its owner. Calls never nest: none of them runs inside a call to the socket. */
export interface SocketHandler {
  /** Bytes arrived, in memory that the handler may keep. */
  data(bytes: Bytes): void;
  /** There is room again after a `write` that did not take everything. */
  drain(): void;
  /** The peer has ended its side (nothing more arrives), and may still read. */
  ended(): void;
  /** The connection is gone; nothing else is told afterwards. */
  closed(reason: string): void;
}

/** A connected byte stream. */
export interface Socket {
  /** `host:port` of the other side, for messages. */
  readonly remote: string;
  /**
   * Hands over of the bytes from place `from` to before place `to`, all if not said, what fits now, and returns how many
   * bytes that was; -1 on a closed socket. Keeps no reference.
   */
  write(bytes: Bytes, from?: number, to?: number): number;
  /** Ends our side after what was written; the other side may go on. */
  shutdown(): void;
  /**
   * Reads nothing for a while, which slows the other side down. What was read already may still be told, and that the other
   * side ended is told later.
   */
  pause?(): void;
  resume?(): void;
  /** Drops the connection at once. */
  terminate(): void;
}

export interface Acceptor {
  /** The port that is listened on: the one asked for, or the one the system chose for port 0. */
  readonly port: number;
  /** Accepts no more; connections that exist stay. */
  close(): void;
}

/**
 * Why a dial failed. `refused`: the machine is there and says that nothing listens on the port. `reset`: it was there, and
 * the connection went down while it was made, as when a process ends before it has accepted it. `unreachable`: all else, as
 * a network that is cut; whether anything listens is not known.
 */
export type ConnectFailure = "refused" | "reset" | "unreachable";

export interface Net {
  /** Throws a KvraftError (IO_ERROR) that names the address when it cannot be listened on. */
  listen(host: string, port: number, accept: (socket: Socket) => SocketHandler): Acceptor;
  /**
   * Dials. Exactly one of `opened` and `failed` is called, later, unless `cancel` came first; there is no deadline
   * but the system's, so callers bring their own.
   */
  connect(
    host: string,
    port: number,
    opened: (socket: Socket) => SocketHandler,
    failed: (reason: string, kind: ConnectFailure) => void,
  ): { cancel(): void };
}
