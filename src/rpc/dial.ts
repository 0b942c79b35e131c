import type { Clock, Timer } from "../env/clock.ts";
import type { ConnectFailure, Net, Socket } from "../env/net.ts";
import { type Address, formatAddress } from "../lib/address.ts";
import { assert } from "../lib/assert.ts";
import { DecodeError } from "../lib/codec.ts";
import { type Closing, Connection, type ConnectionOptions, type ConnectionOwner } from "./connection.ts";
import { type Frame, frameKind } from "./frame.ts";
import { decodeHelloReply, encodeHello, type Hello, type HelloReply, noId } from "./hello.ts";
import { knockEveryMs, knocksMax } from "./limits.ts";

/**
 * How a dial failed.
 * - `nobody`  the machine is there, and nothing listens on the port
 * - `hang-up` a connection was made, or nearly, and closed before the hello was answered
 * - `silence` no answer came in time, or there is no way to the machine; a network that is cut looks like that
 * - `answer`  the hello was answered, and the connection may not be used
 */
export type DialFailureKind = "nobody" | "hang-up" | "silence" | "answer";

/** What became of a dial. `reply` is there when the other side answered the hello, with yes or no. */
export type DialOutcome<Context> =
  | { readonly ok: true; readonly connection: Connection<Context>; readonly reply: HelloReply }
  | {
      readonly ok: false;
      readonly reason: "unreachable" | "refused";
      readonly kind: DialFailureKind;
      readonly text: string;
      readonly reply?: HelloReply;
    };

/**
 * Connects and says hello. `done` is called once, later, within timeoutMs, and not at all after `cancel`; from then on
 * `owner` owns the connection.
 */
export function dial<Context>(
  env: { readonly net: Net; readonly clock: Clock },
  address: Address,
  hello: Hello,
  timeoutMs: number,
  owner: ConnectionOwner<Context>,
  options: ConnectionOptions,
  done: (outcome: DialOutcome<Context>) => void,
): { cancel(): void } {
  return new Dial(env, address, hello, timeoutMs, owner, options, done);
}

const kindOf: Record<ConnectFailure, DialFailureKind> = {
  refused: "nobody",
  reset: "hang-up",
  unreachable: "silence",
};

class Dial<Context> implements ConnectionOwner<Context> {
  readonly #name: string;
  readonly #clock: Clock;
  readonly #hello: Hello;
  readonly #owner: ConnectionOwner<Context>;
  readonly #options: ConnectionOptions;
  readonly #done: (outcome: DialOutcome<Context>) => void;
  readonly #net: Net;
  readonly #address: Address;
  readonly #timer: Timer;
  /** Under way at one time: the system repeats an attempt after 1, 3, 7 s, and the way may be open again long before. */
  readonly #attempts: { cancel(): void }[] = [];
  #knock: Timer | undefined;
  #connection: Connection<Context> | undefined = undefined;
  #isDone = false;

  constructor(
    env: { readonly net: Net; readonly clock: Clock },
    address: Address,
    hello: Hello,
    timeoutMs: number,
    owner: ConnectionOwner<Context>,
    options: ConnectionOptions,
    done: (outcome: DialOutcome<Context>) => void,
  ) {
    this.#name = formatAddress(address);
    this.#clock = env.clock;
    this.#hello = hello;
    this.#owner = owner;
    this.#options = options;
    this.#done = done;
    this.#timer = env.clock.after(timeoutMs, () => this.#timedOut(timeoutMs));
    this.#net = env.net;
    this.#address = address;
    this.#attempt();
  }

  cancel(): void {
    if (this.#isDone) return;
    this.#stop();
    this.#drop("the dial was given up");
  }

  frame(connection: Connection<Context>, frame: Frame): void {
    if (this.#isDone) return;
    if (frame.kind !== frameKind.helloReply) throw new DecodeError("the first frame is no answer to a hello");
    const reply = decodeHelloReply(frame.reader());
    const refusal = refusalOf(this.#hello, reply);
    if (refusal !== undefined) {
      this.#drop(refusal);
      const text = `${this.#name} refused the connection: ${refusal}`;
      this.#finish({ ok: false, reason: "refused", kind: "answer", text, reply });
      return;
    }
    connection.establish();
    connection.owner = this.#owner;
    this.#finish({ ok: true, connection, reply });
  }

  closed(_: Connection<Context>, closing: Closing): void {
    this.#unreachable("hang-up", `it closed the connection before it answered the hello: ${closing.text}`);
  }

  #attempt(): void {
    const { host, port } = this.#address;
    // The first one stays: the other side may be far away.
    if (this.#attempts.length >= knocksMax) this.#attempts.splice(1, 1)[0]!.cancel();
    this.#knock = this.#clock.after(knockEveryMs, () => this.#attempt());
    const attempt: { cancel(): void } = this.#net.connect(
      host,
      port,
      (socket) => this.#opened(socket, attempt),
      (reason, kind) => this.#failed(reason, kind),
    );
    this.#attempts.push(attempt);
  }

  #opened(socket: Socket, attempt: { cancel(): void }): Connection<Context> {
    this.#knock?.cancel();
    for (const other of this.#attempts.splice(0)) if (other !== attempt) other.cancel();
    this.#attempts.push(attempt);
    const connection = new Connection<Context>(this.#clock, socket, this, this.#options);
    this.#connection = connection;
    const output = connection.begin(frameKind.hello, 0, 0);
    assert(output !== undefined, "the hello is the first frame of its connection");
    encodeHello(output, this.#hello);
    connection.end();
    connection.flush();
    return connection;
  }

  #timedOut(timeoutMs: number): void {
    const isConnected = this.#connection !== undefined;
    this.#drop("the dial took too long");
    this.#unreachable(
      "silence",
      isConnected
        ? `it accepted the connection and did not answer the hello within ${timeoutMs} ms`
        : `no answer within ${timeoutMs} ms`,
    );
  }

  #failed(why: string, failure: ConnectFailure): void {
    this.#unreachable(kindOf[failure], why);
  }

  #unreachable(kind: DialFailureKind, why: string): void {
    this.#finish({ ok: false, reason: "unreachable", kind, text: `Cannot reach ${this.#name}: ${why}` });
  }

  #finish(outcome: DialOutcome<Context>): void {
    if (this.#isDone) return;
    this.#stop();
    this.#done(outcome);
  }

  #stop(): void {
    this.#isDone = true;
    this.#timer.cancel();
    this.#knock?.cancel();
    for (const attempt of this.#attempts.splice(0)) attempt.cancel();
  }

  #drop(text: string): void {
    this.#connection?.terminate({ cause: "closed", text });
  }
}

/** Why the connection may not be used, or undefined. */
function refusalOf(hello: Hello, reply: HelloReply): string | undefined {
  if (reply.code !== "accepted") return reply.text === "" ? `refusal "${reply.code}"` : reply.text;
  if (reply.version < hello.versionMin || reply.version > hello.versionMax)
    return `it answered with protocol version ${reply.version}, which was not offered`;
  if (hello.clusterId !== noId && reply.clusterId !== noId && hello.clusterId !== reply.clusterId)
    return `it belongs to cluster ${reply.clusterId}, ours is ${hello.clusterId}`;
  return undefined;
}
