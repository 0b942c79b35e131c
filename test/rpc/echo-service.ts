import { BunClock } from "../../src/env/bun-clock.ts";
import { BunNet } from "../../src/env/bun-net.ts";
import type { Clock } from "../../src/env/clock.ts";
import type { Net } from "../../src/env/net.ts";
import { Prng } from "../../src/env/prng.ts";
import type { Closing, Connection } from "../../src/rpc/connection.ts";
import { type Frame, frameKind } from "../../src/rpc/frame.ts";
import { type Hello, makeHello, noId } from "../../src/rpc/hello.ts";
import { type Greeting, Listener, type ListenerOptions, type ListenerOwner } from "../../src/rpc/listener.ts";
import { method } from "../../src/rpc/method.ts";

export const env = { net: new BunNet(), clock: new BunClock() };
export const chance = new Prng(7);
export const clientHello = makeHello({ clusterId: noId, nodeId: noId, role: "client", purpose: "client" });
export const peerHello = makeHello({
  clusterId: "00000000000000c1",
  nodeId: "0000000000000002",
  role: "peer",
  purpose: "control",
});

/**
 * A service as a node is one: Get answers with its argument, Put never answers, Status answers with as many bytes as its
 * argument says; messages are counted. Everything of a turn leaves together.
 */
export class EchoService implements ListenerOwner<{ name: string }> {
  readonly listener: Listener<{ name: string }>;
  readonly lines: string[] = [];
  readonly closings: Closing[] = [];
  readonly messages: number[] = [];
  readonly hellos: Hello[] = [];
  greeting: Greeting = {
    clusterId: "00000000000000c1",
    nodeId: "0000000000000001",
    keyBytesMax: 65_536,
    valueBytesMax: 8_388_608,
    leader: "127.0.0.1:5001",
  };
  requestCount = 0;
  onRequest: (() => void) | undefined = undefined;
  readonly #clock: Clock;
  readonly #dirty = new Set<Connection<{ name: string }>>();

  constructor(options: Partial<ListenerOptions> = {}, on: { net: Net; clock: Clock } = env) {
    this.#clock = on.clock;
    this.listener = new Listener(
      on,
      { host: "127.0.0.1", port: 0, roles: ["client", "peer"], ...options },
      this,
    );
  }

  get address() {
    return { host: "127.0.0.1", port: this.listener.port };
  }

  greet(hello: Hello, connection: Connection<{ name: string }>): Greeting {
    this.hellos.push(hello);
    connection.context = { name: connection.remote };
    return this.greeting;
  }

  frame(connection: Connection<{ name: string }>, frame: Frame): void {
    if (frame.kind === frameKind.message) this.messages.push(frame.reader().u32());
    if (frame.kind !== frameKind.request) return;
    this.requestCount++;
    this.onRequest?.();
    if (frame.method === method.put) return;
    const body = frame.method === method.status ? new Uint8Array(frame.reader().u32()) : frame.body();
    const output = connection.begin(frameKind.reply, frame.method, frame.requestId);
    if (output === undefined) return;
    output.raw(body);
    connection.end();
    if (this.#dirty.size === 0) this.#clock.soon(() => this.#flush());
    this.#dirty.add(connection);
  }

  closed(connection: Connection<{ name: string }>, closing: Closing): void {
    if (connection.context === undefined)
      throw new Error("closed was told of a connection that was not accepted");
    this.closings.push(closing);
  }

  log(line: string): void {
    this.lines.push(line);
  }

  #flush(): void {
    for (const connection of this.#dirty) connection.flush();
    this.#dirty.clear();
  }
}

export async function until(condition: () => boolean, what: string): Promise<void> {
  const startedAt = performance.now();
  while (!condition()) {
    if (performance.now() - startedAt > 4000) throw new Error(`still not so: ${what}`);
    await Bun.sleep(1);
  }
}
