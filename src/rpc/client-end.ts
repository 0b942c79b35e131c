import type { Clock, Timer } from "../env/clock.ts";
import type { Net } from "../env/net.ts";
import { type Address, formatAddress } from "../lib/address.ts";
import { assert } from "../lib/assert.ts";
import type { ByteWriter } from "../lib/codec.ts";
import { KvraftError } from "../lib/error.ts";
import type { Closing, Connection, ConnectionOptions, ConnectionOwner } from "./connection.ts";
import { type DialOutcome, dial } from "./dial.ts";
import { type Frame, frameKind } from "./frame.ts";
import { type Hello, type HelloReply, noId } from "./hello.ts";
import {
  backOffMaxMs,
  backOffMinMs,
  connectTimeoutMs,
  frameBodyBytesMax,
  helloServersBytesMax,
  lookEveryMs,
  pendingCallsMax,
  silentLooks,
  steadyMs,
} from "./limits.ts";
import { method } from "./method.ts";
import {
  type CallFailure,
  type CallResult,
  type FailureReason,
  type PendingCall,
  PendingCalls,
} from "./pending-calls.ts";
import { Silence } from "./silence.ts";

export interface ClientEndEnv {
  readonly net: Net;
  readonly clock: Clock;
}

export interface ClientEndOptions {
  /**
   * Keeps the end connected from the start, as peers want it: a connection that is lost is redialled at once, at most
   * once per backOffMaxMs; all other redials wait for a random, growing back-off drawn from `chance`. Without it an end
   * dials when it is called.
   */
  readonly keepConnected?: { readonly chance: { int(min: number, max: number): number } };
  readonly connectTimeoutMs?: number;
  readonly outputBytesMax?: number;
  readonly pendingCallsMax?: number;
  readonly closeGraceMs?: number;
  /** Frames that answer no call: messages and requests of the other side. See ConnectionOwner.frame. */
  readonly onFrame?: (frame: Frame) => void;
  readonly onConnected?: (reply: HelloReply) => void;
  /**
   * A connection that was told by `onConnected` is gone; `text` is a sentence that names the address. `wasSilent`: nothing
   * arrived on it any more, and it was given up; no sign came that the other side has ended it.
   */
  readonly onLost?: (text: string, wasSilent: boolean) => void;
  /** A dial failed; the end goes on by itself when it is kept connected. Told for every dial: the owner thins out. */
  readonly onDialFailed?: (failure: DialFailure) => void;
}

export type DialFailure = Extract<DialOutcome<unknown>, { ok: false }>;

/**
 * The caller's end of a connection to one address. Connections come and go below it; what a call was answered, or that
 * it was not, is a value. Calls of one turn of the event loop leave in one write.
 *
 * A connection on which nothing arrives although a sign of life was asked for is silent: another one is dialled beside it.
 * The first of the two on which something arrives is kept. An end that is kept connected looks all the time, another one
 * while it waits for an answer. Calls that are made during a silence wait for the dial: they certainly were not sent.
 */
export class ClientEnd {
  readonly address: Address;
  readonly #name: string;
  readonly #env: ClientEndEnv;
  readonly #hello: Hello;
  readonly #options: ClientEndOptions;
  readonly #connectionOptions: ConnectionOptions;
  readonly #pendingCallsMax: number;

  #connection: Connection<undefined> | undefined = undefined;
  #reply: HelloReply | undefined = undefined;
  /** Invariant: at most one of attempt and redial is there, and beside a connection only while that is silent. */
  #attempt: { cancel(): void } | undefined = undefined;
  #redial: Timer | undefined = undefined;
  #dialledAtMs = 0;
  readonly #silence: Silence;
  /** The next look at the connection. */
  #look: Timer | undefined = undefined;
  #backOffMs = backOffMinMs;
  #connectedAt = 0;
  #servers = "";
  #clusterId = noId;
  #redialledAtOnceAt = Number.NEGATIVE_INFINITY;
  /** Those made without a connection wait for the dial; it ends all of them, or sends all of them. */
  readonly #calls: PendingCalls;
  #isFlushScheduled = false;
  #closed: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined = undefined;

  constructor(env: ClientEndEnv, address: Address, hello: Hello, options: ClientEndOptions = {}) {
    this.address = address;
    this.#name = formatAddress(address);
    this.#env = env;
    this.#hello = hello;
    this.#options = options;
    this.#connectionOptions = {
      side: "dialled",
      ...(options.outputBytesMax === undefined ? {} : { outputBytesMax: options.outputBytesMax }),
      ...(options.closeGraceMs === undefined ? {} : { closeGraceMs: options.closeGraceMs }),
    };
    this.#silence = new Silence(env.clock, lookEveryMs);
    this.#pendingCallsMax = options.pendingCallsMax ?? pendingCallsMax;
    this.#calls = new PendingCalls(env.clock, (call) => this.#expired(call));
    if (options.keepConnected !== undefined) this.#dial(this.#connectTimeoutMs);
  }

  get isConnected(): boolean {
    return this.#connection?.isOpen === true;
  }

  /** What the other side said at the hello of the current connection; undefined without one. */
  get helloReply(): HelloReply | undefined {
    return this.#connection === undefined ? undefined : this.#reply;
  }

  /**
   * Addresses of the cluster's members, separated by spaces, as this server told them last: in its hello, or by a message
   * when they changed. Empty when it never did.
   */
  get servers(): string {
    return this.#servers;
  }

  /** The cluster that this server belonged to when it was last connected; `noId` when it told none. */
  get clusterId(): string {
    return this.#clusterId;
  }

  /** Lease time now, as the other side's hello told it and time went on; 0 without a connection, or when it knew none. */
  get serverTimeMs(): number {
    if (this.#connection === undefined || this.#reply === undefined || this.#reply.timeMs === 0) return 0;
    return this.#reply.timeMs + Math.floor(this.#env.clock.monotonicMs() - this.#connectedAt);
  }

  /** Bytes that wait for the current connection's socket. */
  get queuedBytes(): number {
    return this.#connection?.queuedBytes ?? 0;
  }

  /** Dials unless there is a connection or a dial; what becomes of it is told by onConnected or onDialFailed. */
  connect(timeoutMs = this.#connectTimeoutMs): void {
    assert(this.#closed === undefined, "a closed end is not dialled");
    this.#dial(timeoutMs);
  }

  /**
   * Sends a request and resolves with the reply's body, or with why there is none; an end without a connection dials
   * first. `write` appends the request's body; it runs when the request is encoded, now or after the dial. Rejects only
   * when the caller is wrong: a body over frameBodyBytesMax (KvraftError INVALID_ARGUMENT), or what `write` throws.
   */
  call(method: number, write: (body: ByteWriter) => void, timeoutMs: number): Promise<CallResult> {
    return new Promise((resolve, reject) => {
      const deadlineAt = this.#env.clock.monotonicMs() + timeoutMs;
      const call: PendingCall = { method, write, timeoutMs, deadlineAt, resolve, reject, offset: -1 };
      if (this.#closed !== undefined) return resolve(failure("closed", false, `${this.#name} was closed`));
      if (this.#calls.size >= this.#pendingCallsMax)
        return resolve(failure("full", false, `${this.#calls.size} calls to ${this.#name} wait already`));
      const id = this.#calls.add(call);
      if (this.#connection?.isSilent === false) this.#request(this.#connection, id, call);
      else this.#dial(this.#connectTimeoutMs);
    });
  }

  /**
   * Encodes a message, to which there is no reply; it leaves with the next `flush`. False when there is no connection or
   * its queue is full: then nothing was queued.
   */
  send(method: number, write: (body: ByteWriter) => void): boolean {
    const body = this.beginMessage(method);
    if (body === undefined) return false;
    write(body);
    this.endMessage();
    return true;
  }

  /** As `send` without a closure: append the body to the writer, then call `endMessage`. */
  beginMessage(method: number): ByteWriter | undefined {
    return this.#connection?.begin(frameKind.message, method, 0);
  }

  endMessage(): void {
    assert(this.#connection !== undefined, "a message ends on the connection it began on");
    this.#connection.end();
  }

  /** Hands all that was encoded to the socket, in one write. Calls flush by themselves at the end of the turn. */
  flush(): void {
    this.#connection?.flush();
  }

  /** Drops the connection and everything that waits for it; an end that is kept connected dials anew. */
  disconnect(text: string): void {
    this.#connection?.terminate({ cause: "closed", text });
  }

  /**
   * Ends pending calls with `closed`, sends what is queued, and resolves when the connection is gone. Idempotent; calls
   * made later fail with `closed`.
   */
  close(): Promise<void> {
    if (this.#closed !== undefined) return this.#closed.promise;
    this.#closed = Promise.withResolvers<void>();
    this.#stopDialling();
    this.#look?.cancel();
    for (const call of this.#calls.takeAll())
      call.resolve(failure("closed", call.offset >= 0, `${this.#name} was closed before it answered`));
    if (this.#connection === undefined) this.#closed.resolve();
    else if (this.#connection.isSilent) this.#connection.terminate({ cause: "closed", text: silentText });
    else this.#connection.close("the end was closed");
    return this.#closed.promise;
  }

  get #connectTimeoutMs(): number {
    return this.#options.connectTimeoutMs ?? connectTimeoutMs;
  }

  #dial(timeoutMs: number): void {
    if (this.#attempt !== undefined || this.#connection?.isSilent === false) return;
    this.#redial?.cancel();
    this.#redial = undefined;
    this.#dialledAtMs = this.#env.clock.monotonicMs();
    this.#attempt = dial(
      this.#env,
      this.address,
      this.#hello,
      timeoutMs,
      this.#owner,
      this.#connectionOptions,
      (outcome) => (outcome.ok ? this.#connected(outcome.connection, outcome.reply) : this.#failed(outcome)),
    );
  }

  #connected(connection: Connection<undefined>, reply: HelloReply): void {
    this.#attempt = undefined;
    this.#retire("another one was made beside it");
    this.#connection = connection;
    this.#reply = reply;
    if (reply.servers !== "") this.#servers = reply.servers;
    this.#clusterId = reply.clusterId;
    this.#connectedAt = this.#env.clock.monotonicMs();
    this.#silence.reset();
    this.#sendWaiting(connection);
    if (this.#options.keepConnected !== undefined) this.#lookLater();
    this.#options.onConnected?.(reply);
  }

  #failed(outcome: DialFailure): void {
    this.#attempt = undefined;
    // Whoever answers there now is not the one who was silent, or wants nothing more of this end.
    if (outcome.kind === "nobody" || outcome.kind === "answer") this.#retire(outcome.text);
    for (const call of this.#calls.takeWhere(false))
      call.resolve(failure(outcome.reason, false, outcome.text));
    this.#options.onDialFailed?.(outcome);
    const tookMs = this.#env.clock.monotonicMs() - this.#dialledAtMs;
    // One that waited in vain has waited long enough: the network may be whole again at any moment.
    if (outcome.kind === "silence" && tookMs >= backOffMaxMs) this.#backOffMs = backOffMinMs;
    this.#dialLater();
  }

  /** Drops the connection, if there is one: it is silent. */
  #retire(why: string): void {
    const old = this.#connection;
    if (old === undefined) return;
    this.#connection = undefined;
    old.owner = retired;
    old.terminate({ cause: "closed", text: why });
    this.#tellLost(old, `${silentText}, and ${why}`);
  }

  #tellLost(connection: Connection<undefined>, why: string): void {
    const text = `Lost the connection to ${this.#name}: ${why}`;
    for (const call of this.#calls.takeWhere(true))
      call.resolve(failure("lost", connection.hasTaken(call.offset), text));
    this.#options.onLost?.(text, connection.isSilent);
  }

  #sendWaiting(connection: Connection<undefined>): void {
    for (const [id, call] of [...this.#calls.entries()])
      if (call.offset < 0) this.#request(connection, id, call);
  }

  #lookLater(): void {
    if (this.#look !== undefined || this.#closed !== undefined) return;
    this.#connection?.takeHeard();
    this.#silence.reset();
    this.#look = this.#env.clock.after(lookEveryMs, this.#lookNow);
  }

  readonly #lookNow = (): void => {
    this.#look = undefined;
    const connection = this.#connection;
    if (connection === undefined || connection.isSilent || this.#closed !== undefined) return;
    const looks = this.#silence.look(connection.takeHeard());
    const isWatched = looks > 0 || this.#calls.size > 0 || this.#options.keepConnected !== undefined;
    if (looks >= silentLooks) {
      connection.markSilent();
      if (this.#calls.size > 0 || this.#options.keepConnected !== undefined)
        this.#dial(this.#connectTimeoutMs);
    } else if (isWatched) {
      if (looks > 0) connection.ping();
      this.#look = this.#env.clock.after(lookEveryMs, this.#lookNow);
    }
  };

  /** The silence is over before a dial has ended it. */
  #spoke(connection: Connection<undefined>): void {
    this.#stopDialling();
    this.#sendWaiting(connection);
    this.#lookLater();
  }

  #stopDialling(): void {
    this.#redial?.cancel();
    this.#redial = undefined;
    this.#attempt?.cancel();
    this.#attempt = undefined;
  }

  /** Owns the connection once its hello was accepted. */
  readonly #owner: ConnectionOwner<undefined> = {
    frame: (_, frame) => {
      if (frame.kind === frameKind.reply) this.#answered(frame);
      else if (frame.kind === frameKind.message && frame.method === method.servers)
        this.#servers = frame.reader().text(helloServersBytesMax);
      else this.#options.onFrame?.(frame);
    },
    spoke: (connection) => this.#spoke(connection),
    closed: (connection, closing) => this.#lost(connection, closing),
  };

  #answered(frame: Frame): void {
    // A reply that nobody waits for is late: its call has met its deadline.
    this.#calls.take(frame.requestId)?.resolve({ ok: true, body: frame.body() });
  }

  #lost(connection: Connection<undefined>, closing: Closing): void {
    this.#connection = undefined;
    if (this.#closed !== undefined) {
      this.#closed.resolve();
      return;
    }
    const now = this.#env.clock.monotonicMs();
    // A peer that accepts and then hangs up must not be dialled in a tight loop.
    if (now - this.#connectedAt >= steadyMs) this.#backOffMs = backOffMinMs;
    this.#tellLost(connection, closing.text);
    if (closing.cause === "closed" || now - this.#redialledAtOnceAt < backOffMaxMs) this.#dialLater();
    else this.#dialAtOnce(now);
  }

  /** Whoever was lost is dialled before anything else is thought of it: a dial tells a reset from a death. */
  #dialAtOnce(now: number): void {
    if (this.#closed !== undefined || this.#options.keepConnected === undefined) return;
    this.#redialledAtOnceAt = now;
    this.#dial(this.#connectTimeoutMs);
  }

  #dialLater(): void {
    if (this.#closed !== undefined || this.#attempt !== undefined) return;
    const chance = this.#options.keepConnected?.chance;
    // Without one: as long as somebody waits for an answer to what was sent before the silence.
    if (chance === undefined && (this.#connection === undefined || this.#calls.size === 0)) return;
    const ms = chance?.int(Math.ceil(this.#backOffMs / 2), this.#backOffMs) ?? this.#backOffMs;
    this.#backOffMs = Math.min(this.#backOffMs * 2, backOffMaxMs);
    this.#redial?.cancel();
    this.#redial = this.#env.clock.after(ms, () => this.#dial(this.#connectTimeoutMs));
  }

  /** Encodes the request of a pending call. */
  #request(connection: Connection<undefined>, id: number, call: PendingCall): void {
    const offset = connection.outgoingOffset;
    const body = connection.begin(frameKind.request, call.method, id);
    if (body === undefined) {
      this.#calls.take(id);
      call.resolve(
        connection.isOpen
          ? failure("full", false, `${connection.queuedBytes} bytes wait for ${this.#name} already`)
          : failure("lost", false, `The connection to ${this.#name} is being closed`),
      );
      return;
    }
    try {
      const start = body.length;
      call.write(body);
      const length = body.length - start;
      if (length > frameBodyBytesMax) throw tooLarge(length);
    } catch (error) {
      connection.cancel();
      this.#calls.take(id);
      call.reject(error);
      return;
    }
    connection.end();
    call.offset = offset;
    this.#lookLater();
    this.#flushSoon();
  }

  #flushSoon(): void {
    if (this.#isFlushScheduled) return;
    this.#isFlushScheduled = true;
    this.#env.clock.soon(() => {
      this.#isFlushScheduled = false;
      this.#connection?.flush();
    });
  }

  #expired(call: PendingCall): void {
    const why = call.offset < 0 ? "has no connection" : "did not answer";
    call.resolve(
      failure("deadline", call.offset >= 0, `${this.#name} ${why} within ${Math.round(call.timeoutMs)} ms`),
    );
  }
}

const silentText = "nothing arrives on it";

/** Owns connections that were given up for another one: nobody wants to know. */
const retired: ConnectionOwner<undefined> = { frame: () => {}, closed: () => {} };

function failure(reason: FailureReason, wasSent: boolean, text: string): CallFailure {
  return { ok: false, reason, wasSent, text };
}

function tooLarge(length: number): KvraftError {
  return new KvraftError(
    "INVALID_ARGUMENT",
    `Cannot send a request of ${length} bytes: at most ${frameBodyBytesMax} are allowed; send less at once`,
  );
}
