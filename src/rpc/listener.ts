import type { Clock, Timer } from "../env/clock.ts";
import type { Acceptor, Net, Socket } from "../env/net.ts";
import { assert } from "../lib/assert.ts";
import { DecodeError } from "../lib/codec.ts";
import { type Closing, Connection, type ConnectionOptions, type ConnectionOwner } from "./connection.ts";
import { type Frame, frameKind } from "./frame.ts";
import { GuestWatch } from "./guest-watch.ts";
import { HeldBytes } from "./held-bytes.ts";
import {
  commonVersion,
  decodeHello,
  encodeHelloReply,
  type Hello,
  type HelloReply,
  type HelloRole,
  noId,
  protocolVersionMax,
  protocolVersionMin,
  type RefusalCode,
} from "./hello.ts";
import {
  clientBytesMax,
  clientConnectionsMax,
  collectAfterCutMs,
  frameProgressBytesMin,
  frameProgressMs,
  freedBytesMax,
  helloTimeoutMs,
  memberBytesMax,
  otherConnectionsMax,
  strangerLinesMax,
  strangerLinesMs,
} from "./limits.ts";

import { type ReadTurnOptions, ReadTurns } from "./read-turns.ts";

/**
 * The owner's answer to a hello; the listener adds the version, and its clock's time unless the owner knows better. An
 * owner that leaves `bootId` or `servers` out does not tell them.
 */
export type Greeting = {
  readonly refusal?: { readonly code: RefusalCode; readonly text: string };
  /** The hello names a member. Bytes that are held for other peers count with those of clients. */
  readonly isMember?: boolean;
} & Omit<HelloReply, "code" | "text" | "version" | Optional> &
  Partial<Pick<HelloReply, Optional>>;
type Optional = "timeMs" | "bootId" | "servers" | "start";

/** Who is behind a listener. `frame` and `closed` are told of connections that `greet` accepted. */
export interface ListenerOwner<Context> extends ConnectionOwner<Context> {
  /** Answers a hello whose version and role fit. `connection.context` may be set here; nothing may be sent yet. */
  greet(hello: Hello, connection: Connection<Context>): Greeting;
  /** One line about a connection that was refused or closed for what it sent. */
  log(line: string): void;
}

export interface ListenerOptions {
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  /** Who may connect here. */
  readonly roles: readonly HelloRole[];
  readonly helloTimeoutMs?: number;
  /** Clients that may be connected, now: the room that there is for them may change. */
  readonly clientConnectionsMax?: () => number;
  /** Connections of every kind, now. */
  readonly connectionsMax?: () => number;
  readonly outputBytesMax?: number;
  /** How much of the clients' input is looked at in one turn of the event loop; all of it when that is not said. */
  readonly clientTurn?: ReadTurnOptions;
  /** Memory for all clients together. */
  readonly clientBytesMax?: number;
  /** Gives memory back that nobody uses any more. */
  readonly collect?: () => void;
  readonly closeGraceMs?: number;
}

/**
 * Listens, takes hellos, and hands connections that may stay to its owner. What strangers send costs them their
 * connection, one log line, and nobody else anything. Throws as Net.listen does.
 */
export class Listener<Context = unknown> {
  readonly #env: { readonly net: Net; readonly clock: Clock };
  readonly #options: ListenerOptions;
  readonly #connectionOptions: ConnectionOptions;
  readonly #owner: ListenerOwner<Context>;
  readonly #acceptor: Acceptor;
  /** All that are not gone; the value is the hello's deadline of those that have yet to say it. */
  readonly #connections = new Map<Connection<Context>, Timer | undefined>();
  /** Those that have not been accepted: no hello came, or a bad one. The oldest is the first. */
  readonly #strange = new Set<Connection<Context>>();
  readonly #watch: GuestWatch<Context>;
  #clientCount = 0;
  readonly #held: HeldBytes;
  readonly #heldForMembers: HeldBytes;
  readonly #turns: ReadTurns | undefined;
  #sweep: Timer | undefined;
  #collections = 0;
  #collection: Timer | undefined = undefined;
  /** Each is told once until half of the connections are gone: a flood of connections is no flood of lines. */
  readonly #toldFull = new Set<"all" | "clients">();
  #toldSinceMs = 0;
  #toldLines = 0;
  readonly #toldReasons = new Set<string>();
  #closing: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined = undefined;

  constructor(
    env: { readonly net: Net; readonly clock: Clock },
    options: ListenerOptions,
    owner: ListenerOwner<Context>,
  ) {
    this.#env = env;
    this.#options = options;
    this.#connectionOptions = {
      side: "accepted",
      ...(options.outputBytesMax === undefined ? {} : { outputBytesMax: options.outputBytesMax }),
      ...(options.closeGraceMs === undefined ? {} : { closeGraceMs: options.closeGraceMs }),
    };
    this.#owner = owner;
    this.#watch = new GuestWatch(env.clock);
    const { clientTurn } = options;
    this.#turns = clientTurn && new ReadTurns(env.clock, clientTurn);
    const cut = () => this.#collectSoon();
    this.#held = new HeldBytes("clients", options.clientBytesMax ?? clientBytesMax, cut);
    this.#heldForMembers = new HeldBytes("members", memberBytesMax, cut);
    this.#acceptor = env.net.listen(options.host, options.port, (socket) => this.#accept(socket));
    this.#sweepLater();
  }

  get port(): number {
    return this.#acceptor.port;
  }

  /** Connections that exist, with those that have yet to say hello. */
  get connectionCount(): number {
    return this.#connections.size;
  }

  /**
   * Closes gracefully those accepted connections for which `mustClose` says so: no frame of theirs is told any more. Who
   * has yet to say hello is not asked about.
   */
  closeWhere(mustClose: (connection: Connection<Context>) => boolean, text: string): void {
    for (const [connection, helloTimer] of [...this.#connections])
      if (helloTimer === undefined && connection.isOpen && mustClose(connection)) connection.close(text);
  }

  /** Calls `visit` with each accepted connection that has said hello. */
  each(visit: (connection: Connection<Context>) => void): void {
    for (const [connection, helloTimer] of [...this.#connections])
      if (helloTimer === undefined) visit(connection);
  }

  /** Accepts no more and closes every connection gracefully; resolves when the last one is gone. */
  close(): Promise<void> {
    if (this.#closing === undefined) {
      this.#closing = Promise.withResolvers<void>();
      this.#acceptor.close();
      this.#watch.stop();
      this.#sweep?.cancel();
      this.#collection?.cancel();
      for (const connection of this.#connections.keys()) connection.close("the node is stopping");
      this.#maybeClosed();
    }
    return this.#closing.promise;
  }

  #accept(socket: Socket): Connection<Context> {
    const connection = new Connection<Context>(
      this.#env.clock,
      socket,
      this.#strangers,
      this.#connectionOptions,
    );
    const timeoutMs = this.#options.helloTimeoutMs ?? helloTimeoutMs;
    const text = `no hello came within ${timeoutMs} ms`;
    const timer = this.#env.clock.after(timeoutMs, () => connection.terminate({ cause: "protocol", text }));
    this.#connections.set(connection, timer);
    this.#strange.add(connection);
    if (this.#closing !== undefined) connection.terminate({ cause: "refused", text: "the node is stopping" });
    else if (this.#connections.size > this.#connectionsMax) this.#makeRoom();
    return connection;
  }

  get #connectionsMax(): number {
    return this.#options.connectionsMax?.() ?? clientConnectionsMax + otherConnectionsMax;
  }

  get #clientConnectionsMax(): number {
    return this.#options.clientConnectionsMax?.() ?? clientConnectionsMax;
  }

  /**
   * Drops whoever has not been accepted for the longest: the newcomer may be a member. Those that were accepted stay,
   * also when they are idle.
   */
  #makeRoom(): void {
    const [oldest] = this.#strange;
    const text = `${this.#connectionsMax} connections are open, which is the most`;
    this.#strange.delete(oldest!);
    oldest!.terminate({ cause: "refused", text });
    this.#tellFull("all", `Dropped ${oldest!.remote}, which had not said hello: ${text}`);
  }

  /** What strangers do is told in so many lines at the most, and for one reason not again and again. */
  #tell(line: string, why = line): void {
    const nowMs = this.#env.clock.monotonicMs();
    if (nowMs - this.#toldSinceMs >= strangerLinesMs) {
      this.#toldSinceMs = nowMs;
      this.#toldLines = 0;
      this.#toldReasons.clear();
    }
    if (this.#toldReasons.has(why) || this.#toldLines > strangerLinesMax) return;
    this.#toldReasons.add(why);
    this.#toldLines++;
    if (this.#toldLines < strangerLinesMax) this.#owner.log(line);
    else if (this.#toldLines === strangerLinesMax)
      this.#owner.log(`${line}; more of these are not told for up to ${strangerLinesMs} ms`);
  }

  #tellFull(what: "all" | "clients", line: string): void {
    if (!this.#toldFull.has(what)) this.#owner.log(`${line}; more of these are not told`);
    this.#toldFull.add(what);
  }

  /** Owns connections until their hello was accepted. */
  readonly #strangers: ConnectionOwner<Context> = {
    frame: (connection, frame) => this.#hello(connection, frame),
    closed: (connection, closing) => {
      if (closing.cause === "protocol" || closing.cause === "full") this.#logClosed(connection, closing);
      this.#gone(connection);
    },
  };

  /** Owns connections afterwards. */
  readonly #guests: ConnectionOwner<Context> = {
    frame: (connection, frame) => this.#owner.frame(connection, frame),
    closed: (connection, closing) => {
      if (closing.cause === "protocol" || closing.cause === "full") this.#logClosed(connection, closing);
      if (connection.hello?.role === "client") this.#clientCount--;
      this.#gone(connection);
      this.#owner.closed(connection, closing);
    },
  };

  #hello(connection: Connection<Context>, frame: Frame): void {
    if (frame.kind !== frameKind.hello) throw new DecodeError("the first frame is no hello");
    const hello = decodeHello(frame.reader());
    this.#connections.get(connection)?.cancel();
    connection.hello = hello;
    const { refusal, isMember, ...greeting } =
      this.#preGreeting(hello) ?? this.#owner.greet(hello, connection);
    if (!connection.isOpen) return;
    const output = connection.begin(frameKind.helloReply, 0, 0);
    assert(output !== undefined, "nothing is sent before the answer to the hello");
    encodeHelloReply(output, {
      code: refusal?.code ?? "accepted",
      text: refusal?.text ?? "",
      version: refusal === undefined ? (commonVersion(hello) ?? 0) : 0,
      timeMs: 0,
      bootId: "",
      servers: "",
      ...greeting,
    });
    connection.end();
    if (refusal !== undefined) {
      const line = `Refused the connection from ${connection.remote}: ${refusal.text}`;
      if (refusal.code === "busy") this.#tellFull("clients", line);
      else this.#tell(line, refusal.text);
      connection.close(refusal.text, "refused");
      return;
    }
    connection.flush();
    connection.establish();
    connection.owner = this.#guests;
    this.#connections.set(connection, undefined);
    this.#strange.delete(connection);
    this.#watch.add(connection);
    const isClient = hello.role === "client";
    connection.countIn(isMember ? this.#heldForMembers : this.#held, isClient ? this.#turns : undefined);
    if (isClient) this.#clientCount++;
  }

  /** Connections that were cut off held much, and others come at once. */
  #collectSoon(): void {
    if (this.#collection !== undefined || this.#closing !== undefined) return;
    this.#collection = this.#env.clock.after(collectAfterCutMs, () => {
      this.#collection = undefined;
      this.#options.collect?.();
    });
  }

  /** Twice after much was let go of: what is dropped in this turn may still be referred to. */
  #collect(): void {
    const freedBytes = this.#held.takeFreed() + this.#heldForMembers.takeFreed();
    if (freedBytes >= freedBytesMax) this.#collections = 2;
    if (this.#collections === 0) return;
    this.#collections--;
    this.#options.collect?.();
  }

  #sweepLater(): void {
    this.#sweep = this.#env.clock.after(frameProgressMs, () => {
      this.#sweepLater();
      for (const [connection, helloTimer] of [...this.#connections])
        if (helloTimer === undefined) connection.checkProgress(frameProgressBytesMin);
      this.#collect();
    });
  }

  /** Refusals that are not the owner's business. */
  #preGreeting(hello: Hello): Greeting | undefined {
    const refuse = (code: RefusalCode, text: string): Greeting => ({
      refusal: { code, text },
      clusterId: noId,
      nodeId: noId,
      keyBytesMax: 0,
      valueBytesMax: 0,
      leader: "",
    });
    if (commonVersion(hello) === undefined)
      return refuse(
        "version",
        `this node speaks protocol versions ${protocolVersionMin} to ${protocolVersionMax}, ` +
          `the other side ${hello.versionMin} to ${hello.versionMax}; upgrade the older one`,
      );
    if (!this.#options.roles.includes(hello.role))
      return refuse("role", `this port is for role ${this.#options.roles.join(" and ")}, not ${hello.role}`);
    const most = this.#clientConnectionsMax;
    if (hello.role === "client" && this.#clientCount >= most)
      return refuse("busy", `${most} clients are connected, which is the most; try another node or later`);
    return undefined;
  }

  #logClosed(connection: Connection<Context>, closing: Closing): void {
    this.#tell(`Closed the connection from ${connection.remote}: ${closing.text}`);
  }

  #gone(connection: Connection<Context>): void {
    this.#connections.get(connection)?.cancel();
    this.#connections.delete(connection);
    this.#strange.delete(connection);
    this.#watch.remove(connection);
    if (this.#connections.size < this.#connectionsMax / 2) this.#toldFull.delete("all");
    if (this.#clientCount < this.#clientConnectionsMax / 2) this.#toldFull.delete("clients");
    this.#maybeClosed();
  }

  #maybeClosed(): void {
    if (this.#connections.size === 0) this.#closing?.resolve();
  }
}
