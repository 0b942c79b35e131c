/** Valid values of everything that has an encoding, drawn at random. */
import type { Prng } from "../../src/env/prng.ts";
import type { Command, SessionStamp } from "../../src/kv/command.ts";
import { commandTimeMsMax, principalBytesMax, sessionNameBytesMax } from "../../src/kv/limits.ts";
import type { Result } from "../../src/kv/result.ts";
import { statuses } from "../../src/kv/status.ts";
import { type Bytes, emptyBytes } from "../../src/lib/bytes.ts";
import { ByteWriter } from "../../src/lib/codec.ts";
import {
  type Entry,
  type EntryId,
  type EntryKind,
  indexMax,
  type Message,
  type NodeId,
} from "../../src/raft/types.ts";
import { beginFrame, endFrame, type FrameKind } from "../../src/rpc/frame.ts";
import { type Hello, type HelloReply, timeMsMax } from "../../src/rpc/hello.ts";
import { method } from "../../src/rpc/method.ts";
import { printable } from "../../src/rpc/printable.ts";
import type { Refusal } from "../../src/rpc/reply.ts";
import type { FormReply, FormRequest } from "../../src/server/formation-messages.ts";
import type { FolderIdentity } from "../../src/server/identity.ts";
import { type Member, type Members, membersOf } from "../../src/server/members.ts";
import { randomBytes, randomId, randomNumber, randomText } from "./mutate.ts";

/** What was written, as bytes of its own. */
export function encoded(write: (writer: ByteWriter) => void): Bytes {
  const writer = new ByteWriter();
  write(writer);
  return writer.copy();
}

export function frameOf(kind: FrameKind, number: number, requestId: number, body: Bytes): Bytes {
  return encoded((writer) => {
    const start = beginFrame(writer, kind, number, requestId);
    writer.raw(body);
    endFrame(writer, start);
  });
}

export function randomNodeId(prng: Prng): NodeId {
  return randomId(prng) as NodeId;
}

export function randomHello(prng: Prng): Hello {
  const versionMin = prng.int(0, 3);
  return {
    versionMin,
    versionMax: versionMin + prng.int(0, 3),
    role: prng.pick(["peer", "client"]),
    purpose: prng.pick(["control", "bulk", "client", "form"]),
    clusterId: randomId(prng),
    nodeId: randomId(prng),
  };
}

export function randomHelloReply(prng: Prng): HelloReply {
  return {
    code: prng.pick(["accepted", "version", "cluster", "node", "role", "busy", "state", "removed"]),
    text: printable(randomText(prng, 40)),
    version: prng.int(0, 255),
    clusterId: randomId(prng),
    nodeId: randomId(prng),
    // A server's clock shows no later one; drawn now and then at the bound.
    timeMs: Math.min(randomNumber(prng), timeMsMax),
    keyBytesMax: prng.u32(),
    valueBytesMax: prng.u32(),
    leader: prng.pick(["", "127.0.0.1:5001", "[::1]:5001"]),
    bootId: prng.pick(["", randomId(prng)]),
    servers: Array.from({ length: prng.pick([0, 1, 3, 90]) }, (_, place) => `127.0.0.1:${5001 + place}`).join(
      " ",
    ),
  };
}

export function randomCommand(prng: Prng): Command {
  const type = prng.pick(["put", "delete"] as const);
  return {
    type,
    timeMs: Math.min(randomNumber(prng), commandTimeMsMax),
    session: prng.chance(1, 3) ? undefined : randomSession(prng),
    principal: randomBytes(prng, prng.chance(1, 5) ? principalBytesMax : 3),
    key: randomBytes(prng, prng.pick([0, 10, 300])),
    value: type === "put" ? randomBytes(prng, prng.pick([0, 10, 1000])) : emptyBytes,
  };
}

function randomSession(prng: Prng): SessionStamp {
  const sequence = Math.max(1, randomNumber(prng));
  const name = `s${randomText(prng, sessionNameBytesMax >> 2)}`;
  return {
    name: Buffer.byteLength(name) <= sessionNameBytesMax ? name : "s",
    sequence,
    acknowledged: Math.min(sequence - 1, randomNumber(prng)),
    bornMs: randomNumber(prng),
  };
}

export function randomResult(prng: Prng): Result {
  return { status: prng.pick(statuses), revision: randomNumber(prng) };
}

const entryKinds: readonly EntryKind[] = ["noop", "command", "config"];

/** A term or an index. */
function randomPlace(prng: Prng): number {
  return Math.min(randomNumber(prng), indexMax);
}

export function randomMessage(prng: Prng, from: NodeId, to: NodeId): Message {
  const envelope = { from, to, term: randomPlace(prng) };
  const id = (): EntryId => ({ term: randomPlace(prng), index: randomPlace(prng) });
  switch (prng.int(1, 8)) {
    case 1:
      return {
        kind: "request-vote",
        ...envelope,
        preVote: prng.chance(1, 2),
        isTransfer: prng.chance(1, 2),
        last: id(),
      };
    case 2:
      return {
        kind: "request-vote-reply",
        ...envelope,
        preVote: prng.chance(1, 2),
        granted: prng.chance(1, 2),
      };
    case 3: {
      const prev = { term: Math.min(envelope.term, randomPlace(prng)), index: prng.u32() };
      const entries = randomEntries(prng, prev, envelope.term);
      return { kind: "append-entries", ...envelope, prev, commit: randomPlace(prng), entries };
    }
    case 4:
      return {
        kind: "append-entries-reply",
        ...envelope,
        accepted: prng.chance(1, 2),
        index: randomPlace(prng),
        hint: id(),
      };
    case 5:
      return {
        kind: "heartbeat",
        ...envelope,
        commit: randomPlace(prng),
        context: randomNumber(prng),
        held: randomPlace(prng),
      };
    case 6:
      return { kind: "install-snapshot", ...envelope, start: id() };
    case 7:
      return { kind: "timeout-now", ...envelope };
    default:
      return {
        kind: "heartbeat-reply",
        ...envelope,
        context: randomNumber(prng),
        timeMs: prng.int(1, 1_000_000),
      };
  }
}

function randomEntries(prng: Prng, prev: EntryId, termMax: number): Entry[] {
  const entries: Entry[] = [];
  let term = prev.term;
  for (let count = prng.int(0, 6); count > 0; count--) {
    term = Math.min(termMax, term + prng.int(0, 2));
    const index = prev.index + 1 + entries.length;
    entries.push({ kind: prng.pick(entryKinds), term, index, data: randomBytes(prng, 60) });
  }
  return entries;
}

export function randomMembers(prng: Prng): Members {
  const address = () => prng.pick(["127.0.0.1:5001", "[::1]:65535", "db1.example:1"]);
  const member = (): Member => ({
    nodeId: randomNodeId(prng),
    address: address(),
    role: prng.pick(["voter", "incoming", "outgoing", "learner"]),
  });
  const removed = Array.from({ length: prng.int(0, 3) }, () => ({
    nodeId: randomNodeId(prng),
    address: address(),
  }));
  return membersOf(Array.from({ length: prng.int(0, 7) }, member), removed);
}

export function randomFormRequest(prng: Prng): FormRequest {
  return {
    place: randomNumber(prng),
    nodeId: randomNodeId(prng),
    servers: randomText(prng, 200),
    backup: prng.pick(["", "ab".repeat(32)]),
    prepare: prng.chance(1, 2) ? { clusterId: randomId(prng), members: randomMembers(prng) } : undefined,
  };
}

export function randomFormReply(prng: Prng): FormReply {
  return {
    place: randomNumber(prng),
    nodeId: randomNodeId(prng),
    backup: prng.pick(["", "ab".repeat(32)]),
    state: prng.pick(["alone", "forming", "formed"]),
    clusterId: randomId(prng),
    accepted: prng.chance(1, 2),
    text: randomText(prng, 200),
  };
}

export function randomIdentity(prng: Prng): FolderIdentity {
  return {
    state: prng.pick(["alone", "forming", "formed", "joined", "restoring", "prepared"]),
    place: randomNumber(prng),
    nodeId: randomNodeId(prng),
    clusterId: randomId(prng),
    members: randomMembers(prng),
    origin: prng.chance(1, 2) ? { checksum: "ab".repeat(32), servers: randomText(prng, 200) } : undefined,
  };
}

export function randomRefusal(prng: Prng): Refusal {
  return {
    retryable: prng.chance(1, 2),
    wasProposed: prng.chance(1, 2),
    leader: prng.pick(["", "127.0.0.1:5001", randomText(prng, 30)]),
    text: printable(randomText(prng, 200)),
  };
}

/** The number of a method, mostly a known one. */
export function randomMethod(prng: Prng): number {
  return prng.chance(1, 8) ? prng.int(0, 255) : prng.pick(Object.values(method));
}
