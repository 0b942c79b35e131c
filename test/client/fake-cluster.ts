import { clientEndsOf } from "../../src/client/client-ends.ts";
import { KVClient } from "../../src/client/kv-client.ts";
import type { Clock } from "../../src/env/clock.ts";
import { Prng } from "../../src/env/prng.ts";
import { decodeCommand, type KeyCommand } from "../../src/kv/command.ts";
import { isRetryable, type Status, statusNumber } from "../../src/kv/status.ts";
import { formatAddress } from "../../src/lib/address.ts";
import { fromUtf8 } from "../../src/lib/bytes.ts";
import type { ByteReader, ByteWriter } from "../../src/lib/codec.ts";
import type { Connection } from "../../src/rpc/connection.ts";
import { type Frame, frameKind } from "../../src/rpc/frame.ts";
import type { Hello } from "../../src/rpc/hello.ts";
import { type Greeting, Listener } from "../../src/rpc/listener.ts";
import { method, methodName } from "../../src/rpc/method.ts";
import { encodeAnswerHead, encodeRefusal } from "../../src/rpc/reply.ts";
import { decodeRequestHead } from "../../src/rpc/request.ts";
import { ManualClock, MemoryNet } from "../rpc/memory-net.ts";

/** A request as it arrived, and the ways to answer it. Not answering is one too. */
export class Request {
  readonly server: FakeServer;
  readonly connection: Connection<unknown>;
  readonly method: number;
  readonly remainingMs: number;
  /** Empty when it is about no key. */
  readonly key: string = "";
  /** Undefined for what is no write. */
  readonly command: KeyCommand | undefined;
  /** Of what is neither a read nor a write of a key: the bytes behind its head. */
  readonly arguments: ByteReader | undefined;
  readonly #requestId: number;

  constructor(server: FakeServer, connection: Connection<unknown>, frame: Frame) {
    this.server = server;
    this.connection = connection;
    this.method = frame.method;
    this.#requestId = frame.requestId;
    const reader = frame.reader();
    this.remainingMs = decodeRequestHead(reader).remainingMs;
    if (frame.method === method.get) {
      reader.u8();
      this.key = fromUtf8(reader.bytes());
    } else if (frame.method === method.put || frame.method === method.delete) {
      this.command = decodeCommand(reader.rest().slice()) as KeyCommand;
      this.key = fromUtf8(this.command.key);
    } else this.arguments = reader;
  }

  get sequence(): number {
    return this.command!.session!.sequence;
  }

  /** "put k=v s1#2": what is asked, with the session's number in the order of their appearance. */
  get text(): string {
    if (this.arguments !== undefined) return methodName(this.method).replace("KVServer.", "");
    if (this.command === undefined) return `get ${this.key}`;
    const { type, value, session } = this.command;
    const place = this.server.cluster.sessionNumber(session!.name);
    const what = type === "put" ? `put ${this.key}=${fromUtf8(value)}` : `delete ${this.key}`;
    return `${what} s${place}#${session!.sequence}`;
  }

  ok(value?: Uint8Array): void {
    this.#answer("OK", (body) => {
      if (value !== undefined) body.bytes(value);
    });
  }

  /** OK with any payload. */
  answer(write: (body: ByteWriter) => void): void {
    this.#answer("OK", write);
  }

  noKey(): void {
    this.#answer("ErrNoKey");
  }

  refuse(
    status: Status,
    more: { leader?: string; retryable?: boolean; wasProposed?: boolean; timeMs?: number } = {},
  ): void {
    const body = this.connection.begin(frameKind.reply, this.method, this.#requestId);
    if (body === undefined) return;
    const defaults = {
      retryable: isRetryable(status),
      wasProposed: status === "CommitTimeout",
      leader: "",
      text: status,
    };
    encodeRefusal(body, statusNumber(status), { ...defaults, ...more });
    this.connection.end();
    this.connection.flush();
  }

  /** A reply that no client can read. */
  garbage(bytes: Uint8Array): void {
    const body = this.connection.begin(frameKind.reply, this.method, this.#requestId);
    body?.raw(bytes);
    if (body !== undefined) this.connection.end();
    this.connection.flush();
  }

  /** The connection breaks. */
  cut(): void {
    this.connection.terminate({ cause: "lost", text: "cut by the test" });
  }

  #answer(status: "OK" | "ErrNoKey", write?: (body: ByteWriter) => void): void {
    const body = this.connection.begin(frameKind.reply, this.method, this.#requestId);
    if (body === undefined) return;
    encodeAnswerHead(body, statusNumber(status), { term: 1, revision: 1 });
    write?.(body);
    this.connection.end();
    this.connection.flush();
  }
}

/** A server that says what the test says, on the real wire. */
export class FakeServer {
  readonly cluster: FakeCluster;
  readonly address: { readonly host: string; readonly port: number };
  /** What it does with a request; it never answers by default. */
  handle: (request: Request) => void = () => {};
  /** What its hello tells of the log's time. */
  timeMs: () => number;
  requests: Request[] = [];
  hellos = 0;
  readonly #listener: Listener<unknown>;

  constructor(cluster: FakeCluster, port: number) {
    this.cluster = cluster;
    this.address = { host: "fake", port };
    this.timeMs = () => cluster.clock.wallMs();
    this.#listener = new Listener(
      cluster,
      { ...this.address, roles: ["client"] },
      {
        greet: (hello) => this.#greet(hello),
        frame: (connection, frame) => this.#frame(connection, frame),
        closed: () => {},
        log: () => {},
      },
    );
  }

  get name(): string {
    return formatAddress(this.address);
  }

  /** The texts of what arrived since the last call. */
  take(): string[] {
    return this.requests.splice(0).map((request) => request.text);
  }

  close(): void {
    void this.#listener.close();
  }

  #greet(_: Hello): Greeting {
    this.hellos++;
    return {
      clusterId: "00000000000000c1",
      nodeId: "0000000000000001",
      timeMs: this.timeMs(),
      keyBytesMax: 65_536,
      valueBytesMax: 8_388_608,
      leader: "",
    };
  }

  #frame(connection: Connection<unknown>, frame: Frame): void {
    if (frame.kind !== frameKind.request) return;
    const request = new Request(this, connection, frame);
    this.requests.push(request);
    this.handle(request);
  }
}

/** A network on which some dials take longer. */
class SlowNet extends MemoryNet {
  readonly slowMsByPort = new Map<number, number>();
  readonly #clock: Clock;

  constructor(clock: Clock, prng: Prng) {
    super(clock, prng, 1 << 16);
    this.#clock = clock;
  }

  override connect(...[host, port, opened, failed]: Parameters<MemoryNet["connect"]>): { cancel(): void } {
    let cancel = () => timer.cancel();
    const timer = this.#clock.after(this.slowMsByPort.get(port) ?? 0, () => {
      const attempt = super.connect(host, port, opened, failed);
      cancel = () => attempt.cancel();
    });
    return { cancel: () => cancel() };
  }
}

/** A few such servers, a client of theirs, and time that only the test moves. */
export class FakeCluster {
  readonly clock = new ManualClock();
  readonly net: SlowNet;
  readonly servers: FakeServer[] = [];
  readonly client: KVClient;
  readonly #sessions: string[] = [];

  constructor(count: number, options: { timeoutMs?: number; seed?: number } = {}) {
    this.net = new SlowNet(this.clock, new Prng(options.seed ?? 1));
    for (let at = 0; at < count; at++) this.servers.push(new FakeServer(this, 5001 + at));
    const ends = clientEndsOf(
      this.servers.map((server) => server.address),
      this,
    );
    this.client = new KVClient(ends, { env: this, timeoutMs: options.timeoutMs ?? 5000 });
  }

  sessionNumber(name: string): number {
    const at = this.#sessions.indexOf(name);
    return at >= 0 ? at + 1 : this.#sessions.push(name);
  }

  /** Lets time pass, a millisecond at a time, with everything that promises lead to in between. */
  async run(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed++) {
      this.clock.run(1);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Closes the client, with the time that it takes. */
  async close(): Promise<void> {
    let isClosed = false;
    void this.client.close().then(() => {
      isClosed = true;
    });
    await this.runUntil(() => isClosed);
  }

  async runUntil(condition: () => boolean, msMax = 10_000): Promise<void> {
    for (let passed = 0; !condition(); passed++) {
      if (passed > msMax) throw new Error(`not so after ${msMax} ms: ${condition}`);
      await this.run(1);
    }
  }
}

/** What became of a call: "OK", a value as text, "deleted", "no key", or "outcome/code". */
export class Call {
  result = "waiting";
  readonly settledAtMs: Promise<number>;
  message = "";

  constructor(cluster: FakeCluster, promise: Promise<unknown>) {
    this.settledAtMs = promise
      .then(
        (value) => {
          this.result = value === undefined ? "OK" : String(value);
        },
        (error: { outcome?: string; code?: string; message: string }) => {
          this.result = error.outcome === undefined ? `bug: ${error}` : `${error.outcome}/${error.code}`;
          this.message = error.message;
        },
      )
      .then(() => cluster.clock.monotonicMs());
  }

  get isSettled(): boolean {
    return this.result !== "waiting";
  }
}
