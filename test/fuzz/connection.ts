/**
 * What a listening node hears: garbage before, in and after the hello, valid frames with mutated bodies, and ends at any
 * byte. It may cost the stranger its connection, and nobody else anything: the neighbour is answered as before.
 */
import { Prng } from "../../src/env/prng.ts";
import { decodeCommand, encodeCommand } from "../../src/kv/command.ts";
import { type Bytes, concatBytes, copyBytes, emptyBytes, toHex } from "../../src/lib/bytes.ts";
import { crc32 } from "../../src/lib/checksum.ts";
import { DecodeError } from "../../src/lib/codec.ts";
import type { NodeId } from "../../src/raft/types.ts";
import type { Connection } from "../../src/rpc/connection.ts";
import { type Frame, FrameParser, frameKind } from "../../src/rpc/frame.ts";
import { encodeHello, type Hello, noId } from "../../src/rpc/hello.ts";
import { type Greeting, Listener, type ListenerOwner } from "../../src/rpc/listener.ts";
import { method } from "../../src/rpc/method.ts";
import { decodeRequestHead, encodeRequestHead } from "../../src/rpc/request.ts";
import { decodeFormRequest, encodeFormRequest } from "../../src/server/formation-messages.ts";
import { decodeMessage, encodeMessage, methodOf } from "../../src/server/raft-messages.ts";
import { ManualClock, MemoryNet } from "../rpc/memory-net.ts";
import { bytesTarget, ensure } from "./fuzzer.ts";
import { mutate, randomBytes, randomOrMutated } from "./mutate.ts";
import {
  encoded,
  frameOf,
  randomCommand,
  randomFormRequest,
  randomHello,
  randomMessage,
  randomMethod,
} from "./values.ts";

const own = "00000000000000a1" as NodeId;
const other = "00000000000000b2" as NodeId;

/** Decodes what arrives as a node does, and answers requests with their bodies. */
class Service implements ListenerOwner<{ name: string }> {
  readonly listener: Listener<{ name: string }>;
  readonly greeted = new Set<Connection<{ name: string }>>();
  logLines = 0;

  constructor(world: { net: MemoryNet; clock: ManualClock }) {
    this.listener = new Listener(world, { host: "memory", port: 0, roles: ["client", "peer"] }, this);
  }

  greet(hello: Hello, connection: Connection<{ name: string }>): Greeting {
    const greeting = { clusterId: noId, nodeId: own, keyBytesMax: 1, valueBytesMax: 1, leader: "" };
    if (hello.clusterId.startsWith("0f"))
      return { ...greeting, refusal: { code: "cluster", text: `not ${hello.clusterId}` } };
    connection.context = { name: connection.remote };
    this.greeted.add(connection);
    return greeting;
  }

  frame(connection: Connection<{ name: string }>, frame: Frame): void {
    ensure(this.greeted.has(connection), "a frame reaches the node only after the hello was accepted");
    const reader = frame.reader();
    if (frame.kind === frameKind.message) decodeMessage(frame.method, reader, other, own);
    else if (frame.kind !== frameKind.request) throw new DecodeError("a node expects no such frame");
    else if (frame.method === method.form) decodeFormRequest(reader);
    else {
      decodeRequestHead(reader);
      if (frame.method === method.put) decodeCommand(reader.rest());
    }
    if (frame.kind === frameKind.request) this.#answer(connection, frame);
  }

  closed(connection: Connection<{ name: string }>): void {
    ensure(this.greeted.has(connection), "the node hears of connections that it has accepted");
  }

  log(): void {
    this.logLines++;
  }

  #answer(connection: Connection<{ name: string }>, frame: Frame): void {
    const output = connection.begin(frameKind.reply, frame.method, frame.requestId);
    if (output === undefined) return;
    output.raw(frame.body());
    connection.end();
    connection.flush();
  }
}

function drawFrame(prng: Prng): Bytes {
  const body = (valid: () => Bytes): Bytes => randomOrMutated(prng, valid);
  const id = prng.u32();
  switch (prng.int(1, 5)) {
    case 1:
      return frameOf(frameKind.request, method.put, id, body(drawPut));
    case 2: {
      const message = randomMessage(prng, other, own);
      const bytes = body(() => encoded((writer) => encodeMessage(writer, message)));
      return frameOf(frameKind.message, methodOf[message.kind], 0, bytes);
    }
    case 3: {
      const bytes = body(() => encoded((writer) => encodeFormRequest(writer, randomFormRequest(prng))));
      return frameOf(frameKind.request, method.form, id, bytes);
    }
    default:
      return frameOf(
        prng.pick(Object.values(frameKind)),
        randomMethod(prng),
        id,
        body(() => randomBytes(prng, 200)),
      );
  }

  function drawPut(): Bytes {
    return encoded((writer) => {
      encodeRequestHead(writer, prng.int(0, 6000));
      encodeCommand(writer, randomCommand(prng));
    });
  }
}

function drawStream(prng: Prng): Bytes {
  const hello = (): Bytes =>
    frameOf(
      frameKind.hello,
      0,
      0,
      prng.chance(1, 4)
        ? randomOrMutated(prng, () => encoded((writer) => encodeHello(writer, randomHello(prng))))
        : encoded((writer) => encodeHello(writer, { ...randomHello(prng), versionMin: 1, versionMax: 1 })),
    );
  const before = prng.chance(1, 8) ? randomBytes(prng, 60) : emptyBytes;
  const frames = Array.from({ length: prng.int(0, 5) }, () => drawFrame(prng));
  const stream = concatBytes([before, prng.chance(1, 12) ? emptyBytes : hello(), ...frames]);
  return prng.chance(1, 3) ? mutate(prng, stream) : stream;
}

/** One who sends bytes, reads what comes, and ends in one of three ways. */
function connectStranger(
  net: MemoryNet,
  port: number,
  stream: Bytes,
  end: "shutdown" | "terminate" | "stay",
) {
  const state = { isClosed: false, received: emptyBytes as Bytes };
  net.connect(
    "memory",
    port,
    (socket) => {
      let rest = stream;
      const send = (): void => {
        const count = rest.length === 0 ? 0 : socket.write(rest);
        if (count > 0) rest = rest.subarray(count);
        if (rest.length > 0 || count < 0 || end === "stay") return;
        socket[end]();
      };
      send();
      return {
        data(bytes) {
          state.received = concatBytes([state.received, bytes]);
        },
        drain: send,
        ended: () => socket.shutdown(),
        closed() {
          state.isClosed = true;
        },
      };
    },
    () => {},
  );
  return state;
}

const neighbourHello = encoded((writer) =>
  encodeHello(writer, {
    versionMin: 1,
    versionMax: 1,
    role: "client",
    purpose: "client",
    clusterId: noId,
    nodeId: noId,
  }),
);
const question = encoded((writer) => encodeRequestHead(writer, 5000));
const neighbourStream = concatBytes([
  frameOf(frameKind.hello, 0, 0, neighbourHello),
  frameOf(frameKind.request, method.isLeader, 7, question),
]);

function checkStream(stream: Bytes): void {
  // Everything else follows from the stream, so that an input alone is the whole case.
  const prng = new Prng(crc32(stream));
  const clock = new ManualClock();
  const net = new MemoryNet(clock, prng.fork(), prng.pick([16, 4096]));
  const service = new Service({ net, clock });
  const { port } = service.listener;
  connectStranger(net, port, copyBytes(stream), prng.pick(["shutdown", "terminate", "stay"]));
  clock.run(prng.int(0, 40));
  const neighbour = connectStranger(net, port, neighbourStream, "stay");
  clock.run(20_000);
  ensure(!neighbour.isClosed, "the neighbour's connection stays open");
  ensure(answerIn(neighbour.received) === toHex(question), "the neighbour is answered");
  ensure(service.logLines <= 1, "a stranger costs at most one line of the log");
  ensure(
    service.listener.connectionCount <= service.greeted.size,
    "who has not said a valid hello in time is gone",
  );
  void service.listener.close();
  clock.run(20_000);
  ensure(service.listener.connectionCount === 0, "every connection ends when the listener closes");
  ensure(clock.pendingCount === 0, "no timer outlives its connection");
}

function answerIn(received: Bytes): string | undefined {
  const parser = new FrameParser(4096);
  parser.feed(received);
  for (let frame = parser.next(); frame !== undefined; frame = parser.next())
    if (frame.kind === frameKind.reply && frame.requestId === 7) return toHex(frame.body());
  return undefined;
}

export const connectionTarget = bytesTarget("connection", drawStream, checkStream);
