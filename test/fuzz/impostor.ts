/**
 * What a member hears from somebody who says hello as another member: messages that look as Raft's do, with numbers near
 * the node's own, and entries that may be anything. They may cost the impostor its connection. The node goes on, leads
 * again, and answers a client.
 */
import type { Prng } from "../../src/env/prng.ts";
import { encodeCommand } from "../../src/kv/command.ts";
import { type Bytes, concatBytes, emptyBytes } from "../../src/lib/bytes.ts";
import type { Entry, Message, NodeId } from "../../src/raft/types.ts";
import { FrameParser, frameKind } from "../../src/rpc/frame.ts";
import { decodeHelloReply, encodeHello, type HelloReply, makeHello, noId } from "../../src/rpc/hello.ts";
import { frameBodyBytesMax } from "../../src/rpc/limits.ts";
import { method } from "../../src/rpc/method.ts";
import { encodeMembers } from "../../src/server/members.ts";
import { encodeMessage, laneOf, methodOf } from "../../src/server/raft-messages.ts";
import { RawClient } from "../server/raw-client.ts";
import { World } from "../server/world.ts";
import { ensure, type FuzzTarget } from "./fuzzer.ts";
import { mutate, randomBytes, randomNumber } from "./mutate.ts";
import { encoded, frameOf, randomCommand, randomMembers, randomMessage } from "./values.ts";

const start = { boot: { number: 1, id: "00000000000000fe" }, term: 0, index: 0 };
const other = "00000000000000b2" as NodeId;

/** Connects as a member and sends what it is told; knows what the node has answered to its hello. */
class Impostor {
  reply: HelloReply | undefined;
  #send: (bytes: Bytes) => void = () => {};

  constructor(world: World, purpose: "control" | "bulk", clusterId: string) {
    const hello = makeHello({ role: "peer", purpose, clusterId, nodeId: other, start });
    const parser = new FrameParser(frameBodyBytesMax);
    const { host, port } = world.machines[0]!.address;
    world.net.connect(
      host,
      port,
      (socket) => {
        let rest: Bytes = emptyBytes;
        const drain = () => {
          const count = rest.length === 0 ? 0 : socket.write(rest);
          if (count > 0) rest = rest.subarray(count);
        };
        this.#send = (bytes) => {
          rest = concatBytes([rest, bytes]);
          drain();
        };
        this.#send(
          frameOf(
            frameKind.hello,
            0,
            0,
            encoded((writer) => encodeHello(writer, hello)),
          ),
        );
        return {
          data: (bytes) => {
            parser.feed(bytes);
            for (let frame = parser.next(); frame !== undefined; frame = parser.next())
              if (frame.kind === frameKind.helloReply) this.reply = decodeHelloReply(frame.reader());
          },
          drain,
          ended: () => socket.shutdown(),
          closed() {},
        };
      },
      () => {},
    );
  }

  say(number: number, body: Bytes): void {
    this.#send(frameOf(frameKind.message, number, 0, body));
  }
}

/** A message whose term and indexes are those of the node, or near them. */
function drawMessage(prng: Prng, to: NodeId, term: number, last: number): Message {
  const message = randomMessage(prng, other, to);
  const nearTerm = prng.pick([term, term, term, term + 1, Math.max(0, term - 1), message.term]);
  const near = () => Math.max(0, prng.pick([last, last, last + 1, last - 1, 0]));
  const id = () =>
    prng.chance(2, 3)
      ? { index: last, term }
      : { index: near(), term: Math.max(0, prng.pick([nearTerm - 1, nearTerm, 1])) };
  const base = { ...message, term: nearTerm };
  switch (base.kind) {
    case "append-entries": {
      const prev = id();
      return { ...base, prev, commit: near() + prng.int(0, 3), entries: drawEntries(prng, prev, nearTerm) };
    }
    case "request-vote":
      return { ...base, last: id() };
    case "append-entries-reply":
      return { ...base, index: near(), hint: id() };
    case "heartbeat":
      return { ...base, commit: near() };
    case "install-snapshot":
      return { ...base, start: id() };
    default:
      return base;
  }
}

function drawEntries(prng: Prng, prev: { index: number; term: number }, term: number): Entry[] {
  return Array.from({ length: prng.int(0, 3) }, (_, at): Entry => {
    const kind = prng.pick(["noop", "command", "command", "config"] as const);
    return { kind, term: Math.max(prev.term, term), index: prev.index + 1 + at, data: drawData(prng, kind) };
  });
}

function drawData(prng: Prng, kind: Entry["kind"]): Bytes {
  if (prng.chance(1, 6)) return randomBytes(prng, 40);
  if (kind === "noop") return emptyBytes;
  // Members that fit would take the cluster over, which a lie about data may.
  if (kind === "config") return mutate(prng, encodeMembers({ ...randomMembers(prng), removed: [] }));
  const valid = encoded((writer) => encodeCommand(writer, randomCommand(prng)));
  return prng.chance(1, 2) ? mutate(prng, valid) : valid;
}

async function run(prng: Prng): Promise<void> {
  const world = new World(1, prng.u32());
  const [machine] = world.machines;
  world.start();
  await world.until(() => world.leader !== undefined, "a leader");
  const stranger = new Impostor(world, "control", noId);
  await world.until(() => stranger.reply !== undefined, "the answer to the first hello");
  const { clusterId, nodeId } = stranger.reply!;
  const impostors = {
    control: new Impostor(world, "control", clusterId),
    bulk: new Impostor(world, "bulk", clusterId),
  };
  const client = new RawClient(world, machine!);
  const status = client.call(method.status, 5_000, () => {});
  await world.until(() => status.value !== undefined, "the status");
  const { term, lastIndex } = JSON.parse(status.value!) as { term: number; lastIndex: number };
  for (let count = prng.int(1, 8); count > 0; count--) {
    const message = drawMessage(prng, nodeId as NodeId, term, lastIndex);
    const body = encoded((writer) => encodeMessage(writer, message));
    impostors[laneOf(message)].say(methodOf[message.kind], prng.chance(1, 5) ? mutate(prng, body) : body);
    if (prng.chance(1, 10))
      impostors.control.say(
        method.agreement,
        encoded((writer) => {
          writer.varint(randomNumber(prng));
          writer.u32(prng.u32());
        }),
      );
    await world.run(prng.int(0, 6));
  }
  await world.run(2_000);
  ensure(machine!.isRunning, `the node goes on: ${machine!.failure?.message}`);
  const answer = client.get("key");
  await world.until(() => answer.status !== undefined, "an answer");
  await machine!.stop();
  ensure(machine!.failure === undefined, `the node ends in order: ${machine!.failure?.message}`);
}

export const impostorTarget: FuzzTarget = { name: "impostor", run };
