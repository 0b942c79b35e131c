/**
 * What a client hears: a server that answers hellos and requests with anything. Every call ends with a value or a
 * KVError by its deadline, and closing leaves nothing behind.
 */
import { leaderOf, statusTable } from "../../src/cli/status.ts";
import { clientEndsOf, KVClient, KVError } from "../../src/client/kv-client.ts";
import type { Socket, SocketHandler } from "../../src/env/net.ts";
import type { Prng } from "../../src/env/prng.ts";
import { statuses } from "../../src/kv/status.ts";
import { type Bytes, toUtf8 } from "../../src/lib/bytes.ts";
import { FrameParser, frameKind } from "../../src/rpc/frame.ts";
import { encodeHelloReply, type HelloReply } from "../../src/rpc/hello.ts";
import { frameBodyBytesMax } from "../../src/rpc/limits.ts";
import { method } from "../../src/rpc/method.ts";
import { encodeAnswerHead, encodeRefusal } from "../../src/rpc/reply.ts";
import { ManualClock, MemoryNet } from "../rpc/memory-net.ts";
import { ensure, type FuzzTarget } from "./fuzzer.ts";
import { mutate, randomBytes, randomNumber, randomOrMutated, randomText } from "./mutate.ts";
import { encoded, frameOf, randomHelloReply, randomRefusal } from "./values.ts";

/** A server that says whatever its generator draws, mostly something that nearly fits. */
class Liar implements SocketHandler {
  readonly #prng: Prng;
  readonly #socket: Socket;
  readonly #note: (sent: Bytes) => void;
  readonly #parser = new FrameParser(frameBodyBytesMax);

  constructor(prng: Prng, socket: Socket, note: (sent: Bytes) => void) {
    this.#prng = prng;
    this.#socket = socket;
    this.#note = note;
  }

  data(bytes: Bytes): void {
    this.#parser.feed(bytes);
    for (let frame = this.#parser.next(); frame !== undefined; frame = this.#parser.next()) {
      if (frame.kind === frameKind.hello) this.#send(this.#helloReply());
      else if (frame.kind === frameKind.request) this.#send(this.#reply(frame.method, frame.requestId));
    }
    ensure(this.#parser.error === undefined, "a client sends frames only");
  }

  drain(): void {}

  ended(): void {
    this.#socket.shutdown();
  }

  closed(): void {}

  #send(bytes: Bytes): void {
    const sent = this.#prng.chance(1, 8) ? mutate(this.#prng, bytes) : bytes;
    this.#note(sent);
    this.#socket.write(sent);
    if (this.#prng.chance(1, 12)) this.#socket.terminate();
  }

  #helloReply(): Bytes {
    const prng = this.#prng;
    const drawn = randomHelloReply(prng);
    const reply: HelloReply = prng.chance(3, 4) ? { ...drawn, code: "accepted", version: 1 } : drawn;
    const body = encoded((writer) => encodeHelloReply(writer, reply));
    return frameOf(frameKind.helloReply, 0, 0, prng.chance(1, 6) ? mutate(prng, body) : body);
  }

  #reply(number: number, requestId: number): Bytes {
    const prng = this.#prng;
    const id = prng.chance(1, 10) ? prng.u32() : requestId;
    const kind = prng.chance(1, 12) ? prng.pick(Object.values(frameKind)) : frameKind.reply;
    return frameOf(
      kind,
      number,
      id,
      randomOrMutated(prng, () => this.#body(number)),
    );
  }

  #body(number: number): Bytes {
    const prng = this.#prng;
    return encoded((writer) => {
      const status = prng.chance(1, 2) ? 0 : prng.int(0, statuses.length);
      if (status > 1) return encodeRefusal(writer, status, randomRefusal(prng));
      encodeAnswerHead(writer, status, { term: randomNumber(prng), revision: randomNumber(prng) });
      if (number === method.status) writer.bytes(toUtf8(randomStatus(prng)));
      else writer.bytes(randomBytes(prng, 60));
      if (prng.chance(1, 2)) for (let count = 0; count < 3; count++) writer.varint(randomNumber(prng));
    });
  }
}

/** What a node might say of itself, with values of the wrong kinds. */
function randomStatus(prng: Prng): string {
  const keys = ["nodeId", "role", "term", "commit", "leader", "logBytes", "state", "reachable", "address"];
  const value = (): unknown =>
    prng.pick([null, 0, -1, 1e300, true, "leader", randomText(prng, 20), [], {}, { a: [null] }]);
  if (prng.chance(1, 6)) return JSON.stringify(value());
  return JSON.stringify(Object.fromEntries(keys.map((key) => [key, value()])));
}

interface Call {
  isEnded: boolean;
  failure: unknown;
}

function write(client: KVClient, prng: Prng): Call[] {
  const key = randomBytes(prng, 10);
  return [client.put(key, randomBytes(prng, 30)), client.delete(key)].map(watch);
}

function read(client: KVClient, prng: Prng): Call[] {
  const key = randomBytes(prng, 10);
  const calls: Promise<unknown>[] = [
    client.getBytes(key),
    client.getRecord(key),
    client.status().then((nodes) => {
      leaderOf(nodes);
      const shown = statusTable(nodes, prng.chance(1, 2)).replaceAll("\n", "");
      ensure(!/\p{Cc}/u.test(shown), "what a server says of itself cannot control a terminal");
    }),
  ];
  return calls.map(watch);
}

function watch(promise: Promise<unknown>): Call {
  const call: Call = { isEnded: false, failure: undefined };
  promise.then(
    () => {
      call.isEnded = true;
    },
    (error: unknown) => {
      call.isEnded = true;
      call.failure = error;
    },
  );
  return call;
}

const timeoutMs = 400;

export const clientTarget: FuzzTarget = {
  name: "client",
  async run(prng, note) {
    const clock = new ManualClock();
    const net = new MemoryNet(clock, prng.fork(), 1 << 16);
    const { port } = net.listen("memory", 0, (socket) => new Liar(prng, socket, note));
    const client = new KVClient(clientEndsOf([{ host: "memory", port }], { net, clock }), {
      env: { net, clock, newName: () => "s" },
      timeoutMs,
    });
    // A deadline may be overrun by a grain; promises need turns of the event loop between the steps of the clock.
    const run = async (steps: number): Promise<void> => {
      for (let step = 0; step < steps; step++) {
        clock.run(20);
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    // Also over a connection that has been there for a while.
    const isReadFirst = prng.chance(1, 2);
    const calls = isReadFirst ? read(client, prng) : write(client, prng);
    await run(prng.int(0, 5));
    calls.push(...(isReadFirst ? write(client, prng) : read(client, prng)));
    await run(timeoutMs / 20 + 5);
    for (const { isEnded, failure } of calls) {
      ensure(isEnded, `a call ends within ${timeoutMs} ms`);
      if (failure !== undefined && !(failure instanceof KVError)) throw failure;
    }
    let isClosed = false;
    void client.close().then(() => {
      isClosed = true;
    });
    for (let tries = 0; tries < 50 && !isClosed; tries++) await run(20);
    ensure(isClosed, "a client closes");
  },
};
