/**
 * Every decoder of a body: hellos, requests, replies, commands, results, Raft's messages, formation, members. It takes
 * any bytes or throws a DecodeError; what it takes holds whole numbers only, and is the same again when it is encoded
 * and decoded once more.
 */
import { replyOf } from "../../src/client/call-reply.ts";
import type { Prng } from "../../src/env/prng.ts";
import { checkCommand, decodeCommand, encodeCommand } from "../../src/kv/command.ts";
import { decodeResult, encodeResult } from "../../src/kv/result.ts";
import { statuses } from "../../src/kv/status.ts";
import { decodeRecord, encodeRecord, valueOfRecord } from "../../src/leveldb/record.ts";
import { decodeRows } from "../../src/leveldb/row-chunk.ts";
import { type Bytes, concatBytes, copyBytes, emptyBytes } from "../../src/lib/bytes.ts";
import { ByteReader, DecodeError } from "../../src/lib/codec.ts";
import type { Message, NodeId } from "../../src/raft/types.ts";
import { RecordReader, writeEntry, writeHardState } from "../../src/raftlog/records.ts";
import {
  type Boot,
  decodeHello,
  decodeHelloReply,
  encodeHello,
  encodeHelloReply,
} from "../../src/rpc/hello.ts";
import {
  type ChangeMembers,
  decodeChangeMembers,
  decodeJoin,
  encodeChangeMembers,
  encodeJoin,
  type NamedMember,
} from "../../src/rpc/member-requests.ts";
import { decodeAnswerHead, decodeRefusal, encodeAnswerHead, encodeRefusal } from "../../src/rpc/reply.ts";
import { decodeRequestHead, encodeRequestHead } from "../../src/rpc/request.ts";
import {
  decodeSnapshotHead,
  decodeSnapshotPiece,
  encodeSnapshotHead,
  encodeSnapshotPiece,
} from "../../src/rpc/snapshot-requests.ts";
import { type BootMessage, decodeBootMessage, encodeBootMessage } from "../../src/server/boot-messages.ts";
import {
  decodeFormReply,
  decodeFormRequest,
  encodeFormReply,
  encodeFormRequest,
} from "../../src/server/formation-messages.ts";
import { decodeMembers, encodeMembers } from "../../src/server/members.ts";
import { decodeMessage, encodeMessage, methodOf } from "../../src/server/raft-messages.ts";
import { bytesTarget, ensure, ensureEqual, withinMemory } from "./fuzzer.ts";
import { randomBytes, randomId, randomNumber, randomOrMutated, randomText } from "./mutate.ts";
import { encodeRows, randomRows, randomSnapshotHead } from "./transfer-values.ts";
import {
  encoded,
  randomCommand,
  randomFormReply,
  randomFormRequest,
  randomHello,
  randomHelloReply,
  randomMembers,
  randomMessage,
  randomRefusal,
  randomResult,
} from "./values.ts";

/** One decoder. `again` encodes what `decode` returned, where there is a way back. */
interface Decoder {
  readonly name: string;
  readonly draw: (prng: Prng) => Bytes;
  readonly decode: (bytes: Bytes) => unknown;
  readonly again: ((bytes: Bytes) => Bytes) | undefined;
}

/** A decoder of a value with an encoder, whose round trip is checked. */
function pair<Value>(
  name: string,
  draw: (prng: Prng) => Value,
  encode: (value: Value) => Bytes,
  decode: (bytes: Bytes) => Value,
): Decoder {
  return {
    name,
    decode,
    again: (bytes) => encode(decode(bytes)),
    draw(prng) {
      const value = draw(prng);
      const bytes = encode(value);
      ensureEqual(decode(bytes), value, `a ${name} that was encoded is decoded as it was`);
      return bytes;
    },
  };
}

const from = "00000000000000a1" as NodeId;
const to = "00000000000000b2" as NodeId;

/** The method stands in the frame's header; here it is the body's first byte. */
const raftMessage = pair(
  "message of Raft",
  (prng) => randomMessage(prng, from, to),
  encodeRaftMessage,
  (bytes) => decodeMessage(bytes[0] ?? 0, new ByteReader(bytes, Math.min(1, bytes.length)), from, to),
);

function encodeRaftMessage(message: Message): Bytes {
  return encoded((writer) => {
    writer.u8(methodOf[message.kind]);
    encodeMessage(writer, message);
  });
}

/** Entries whose indexes go up to the largest number, and beyond it. */
const lastIndexes: Decoder = {
  ...raftMessage,
  draw(prng) {
    const prev = { term: 1, index: Number.MAX_SAFE_INTEGER - prng.int(0, 4) };
    const entry = { kind: "noop", term: 1, index: 0, data: emptyBytes } as const;
    const entries = Array.from({ length: prng.int(0, 6) }, () => entry);
    return encodeRaftMessage({ kind: "append-entries", from, to, term: 1, prev, commit: 0, entries });
  },
};

const requestHead: Decoder = {
  name: "request head",
  draw: (prng) =>
    concatBytes([encoded((writer) => encodeRequestHead(writer, randomNumber(prng))), randomBytes(prng, 20)]),
  decode(bytes) {
    const { remainingMs } = decodeRequestHead(new ByteReader(bytes));
    ensure(remainingMs <= 86_400_000, "nobody waits longer than a day");
    return { remainingMs };
  },
  again: undefined,
};

/** A reply as the client sees it: whatever the server has sent, it is an answer or a failure, never an error. */
const clientReply: Decoder = {
  name: "reply",
  draw: (prng) =>
    encoded((writer) => {
      const status = prng.int(0, statuses.length);
      if (status > 1) encodeRefusal(writer, status, randomRefusal(prng));
      else {
        encodeAnswerHead(writer, status, { term: randomNumber(prng), revision: randomNumber(prng) });
        writer.bytes(randomBytes(prng, 200));
      }
    }),
  decode: (bytes) =>
    replyOf({ ok: true, body: bytes }, (payload) => ({
      value: payload.bytes(),
      life: payload.remaining > 0 ? [payload.varint(), payload.varint(), payload.varint()] : [],
    })),
  again: undefined,
};

/** The payload of a group of the Raft log, as a list of its entries. */
const groupPayload: Decoder = {
  name: "payload of a group",
  draw: (prng) =>
    encoded((writer) => {
      if (prng.chance(1, 2))
        writeHardState(writer, {
          term: randomNumber(prng),
          vote: prng.chance(1, 2) ? to : undefined,
          commit: randomNumber(prng),
        });
      const message = randomMessage(prng, from, to);
      if (message.kind === "append-entries") for (const entry of message.entries) writeEntry(writer, entry);
    }),
  decode(bytes) {
    const records = new RecordReader(bytes);
    const entries = [];
    while (records.next()) entries.push(records.entry());
    return { hardState: records.hardState, entries };
  },
  again: undefined,
};

const storedRecord: Decoder = {
  name: "record of the store",
  draw: (prng) =>
    encodeRecord({
      isTombstone: prng.chance(1, 5),
      isComplete: prng.chance(1, 2),
      created: randomNumber(prng),
      count: randomNumber(prng),
      lease: prng.chance(1, 2) ? 0 : randomNumber(prng),
      expiry: prng.chance(1, 2) ? 0 : randomNumber(prng),
      value: randomBytes(prng, 50),
    }),
  decode(bytes) {
    const record = decodeRecord(bytes);
    ensureEqual(
      valueOfRecord(bytes),
      record.isTombstone ? undefined : record.value,
      "the two readers of a record agree on its value",
    );
    return record;
  },
  again: undefined,
};

const decoders: readonly Decoder[] = [
  raftMessage,
  lastIndexes,
  requestHead,
  clientReply,
  groupPayload,
  storedRecord,
  pair(
    "hello",
    randomHello,
    (hello) => encoded((writer) => encodeHello(writer, hello)),
    (bytes) => decodeHello(new ByteReader(bytes)),
  ),
  pair(
    "answer to a hello",
    randomHelloReply,
    (reply) => encoded((writer) => encodeHelloReply(writer, { ...reply, code: knownCode(reply.code) })),
    (bytes) => {
      const reply = decodeHelloReply(new ByteReader(bytes));
      ensure(
        !/\p{C}/u.test(reply.text + reply.leader + reply.servers),
        "texts of strangers hold no control characters",
      );
      return { ...reply, code: knownCode(reply.code) };
    },
  ),
  pair(
    "head of an answer",
    (prng) => ({ term: randomNumber(prng), revision: randomNumber(prng) }),
    (head) => encoded((writer) => encodeAnswerHead(writer, 0, head)),
    (bytes) => decodeAnswerHead(new ByteReader(bytes, Math.min(1, bytes.length))),
  ),
  pair(
    "refusal",
    randomRefusal,
    (refusal) => encoded((writer) => encodeRefusal(writer, 2, refusal)),
    (bytes) => decodeRefusal(new ByteReader(bytes, Math.min(1, bytes.length))),
  ),
  pair(
    "command",
    randomCommand,
    (command) => encoded((writer) => encodeCommand(writer, command)),
    (bytes) => {
      const problem = problemOf(() => checkCommand(bytes));
      const sameProblem = problemOf(() => decodeCommand(bytes));
      ensure(
        (problem === undefined) === (sameProblem === undefined),
        `a command that is checked is one that can be decoded: ${problem}, ${sameProblem}`,
      );
      return decodeCommand(bytes);
    },
  ),
  pair(
    "result",
    randomResult,
    (result) => encoded((writer) => encodeResult(writer, result)),
    (bytes) => decodeResult(new ByteReader(bytes)),
  ),
  pair(
    "question of formation",
    randomFormRequest,
    (request) => encoded((writer) => encodeFormRequest(writer, request)),
    (bytes) => decodeFormRequest(new ByteReader(bytes)),
  ),
  pair(
    "answer of formation",
    randomFormReply,
    (reply) => encoded((writer) => encodeFormReply(writer, reply)),
    (bytes) => decodeFormReply(new ByteReader(bytes)),
  ),
  pair(
    "message about boots",
    randomBootMessage,
    (message) => encoded((writer) => encodeBootMessage(writer, message)),
    (bytes) => decodeBootMessage(new ByteReader(bytes)),
  ),
  pair("list of members", randomMembers, encodeMembers, decodeMembers),
  pair(
    "change of members",
    (prng): ChangeMembers => {
      const named = (): NamedMember => ({ nodeId: randomId(prng), address: randomText(prng, 100) });
      const some = () => Array.from({ length: prng.int(0, 3) }, named);
      return {
        promote: some(),
        remove: some(),
        replace: Array.from({ length: prng.int(0, 3) }, () => ({ old: named(), new: named() })),
      };
    },
    (change) => encoded((writer) => encodeChangeMembers(writer, change)),
    (bytes) => decodeChangeMembers(new ByteReader(bytes)),
  ),
  pair(
    "request to join",
    (prng) => ({ nodeId: randomId(prng), address: randomText(prng, 100) }),
    (join) => encoded((writer) => encodeJoin(writer, join)),
    (bytes) => decodeJoin(new ByteReader(bytes)),
  ),
  pair(
    "head of a snapshot",
    randomSnapshotHead,
    (head) => encoded((writer) => encodeSnapshotHead(writer, head)),
    (bytes) => decodeSnapshotHead(new ByteReader(bytes)),
  ),
  pair(
    "piece of a snapshot",
    (prng) => ({
      rows: randomBytes(prng, 100),
      end: prng.chance(1, 2) ? { rowCount: randomNumber(prng), crc: prng.u32() } : undefined,
    }),
    (piece) => encoded((writer) => encodeSnapshotPiece(writer, piece)),
    (bytes) => decodeSnapshotPiece(new ByteReader(bytes)),
  ),
  pair(
    "chunk of rows",
    randomRows,
    (rows) => encodeRows(rows),
    (bytes) => [...decodeRows(bytes)],
  ),
];

/** A code of a later version has no number here. */
function knownCode<Code extends string>(code: Code | "unknown"): Code | "version" {
  return code === "unknown" ? "version" : code;
}

/** The input's first byte says whose body the rest is. */
function drawBody(prng: Prng): Bytes {
  const at = prng.int(0, decoders.length - 1);
  return concatBytes([Uint8Array.of(at), randomOrMutated(prng, () => decoders[at]!.draw(prng))]);
}

function checkBody(input: Bytes): void {
  const decoder = decoders[(input[0] ?? 0) % decoders.length]!;
  const body = input.subarray(1);
  const before = copyBytes(body);
  let value: unknown;
  withinMemory(body.length, () => {
    value = decodedOr(undefined, () => decoder.decode(body));
  });
  ensureEqual(body, before, `reading a ${decoder.name} changes none of its bytes`);
  if (value === undefined) return;
  ensureWhole(value, decoder.name);
  const { again } = decoder;
  if (again === undefined) return;
  // Texts that are no UTF-8 are changed by the first decoding, and may then be too long: only then is it refused.
  const second = again(body);
  const secondValue = decodedOr(undefined, () => decoder.decode(second));
  if (secondValue !== undefined && !hasReplacedText(value))
    ensureEqual(secondValue, value, `a ${decoder.name} is the same when it is encoded and decoded again`);
  ensure(secondValue !== undefined || hasReplacedText(value), `a ${decoder.name} can be decoded again`);
}

function decodedOr<Value>(otherwise: Value, decode: () => Value): Value {
  try {
    return decode();
  } catch (error) {
    if (error instanceof DecodeError) return otherwise;
    throw error;
  }
}

/** Numbers beyond 2^53 - 1 would be rounded, and one that is none would poison what it is compared with. */
function ensureWhole(value: unknown, name: string): void {
  if (typeof value === "number")
    ensure(Number.isSafeInteger(value) && value >= 0, `a ${name} holds whole numbers, found ${value}`);
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return;
  for (const part of Object.values(value)) ensureWhole(part, name);
}

function hasReplacedText(value: unknown): boolean {
  if (typeof value === "string") return value.includes("\ufffd");
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return false;
  return Object.values(value).some(hasReplacedText);
}

export const messagesTarget = bytesTarget("messages", drawBody, checkBody);

function randomBootMessage(prng: Prng): BootMessage {
  const boot = (): Boot => ({ number: prng.int(1, 100), id: randomId(prng) });
  const some = <Item>(make: () => Item): Item[] => Array.from({ length: prng.int(0, 3) }, make);
  const maybe = () => (prng.chance(1, 2) ? boot() : undefined);
  const nodeId = randomId(prng) as NodeId;
  return prng.pick<BootMessage>([
    { kind: "ask-folder", boots: some(boot) },
    { kind: "folder-answer", answers: some(() => ({ boot: boot(), isHeld: prng.chance(1, 2) })) },
    { kind: "ask-member", nodeId },
    {
      ...{ kind: "member-answer", nodeId },
      remembered: {
        ...{ admitted: maybe(), replicated: maybe() },
        ...{ term: randomNumber(prng), index: randomNumber(prng) },
      },
    },
    { kind: "waiting" },
    { kind: "refused", text: "its folder went back" },
  ]);
}

function problemOf(read: () => unknown): string | undefined {
  try {
    read();
    return undefined;
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return error.message;
  }
}
