import { expect, test } from "bun:test";
import type { Prng } from "../../src/env/prng.ts";
import { type Bytes, toHex, toUtf8 } from "../../src/lib/bytes.ts";
import { ByteReader, ByteWriter, DecodeError } from "../../src/lib/codec.ts";
import type { Entry, EntryKind, Message, NodeId } from "../../src/raft/types.ts";
import { method } from "../../src/rpc/method.ts";
import {
  decodeFormReply,
  decodeFormRequest,
  encodeFormReply,
  encodeFormRequest,
  type FormReply,
  type FormRequest,
} from "../../src/server/formation-messages.ts";
import { decodeMembers, encodeMembers, type Member, membersOf } from "../../src/server/members.ts";
import { decodeMessage, encodeMessage, laneOf, methodOf } from "../../src/server/raft-messages.ts";
import { eachSeed } from "../leveldb/seed.ts";

const [from, to] = ["0000000000000001" as NodeId, "0000000000000002" as NodeId];
const envelope = { from, to, term: 3 };

const examples: [Message, string][] = [
  [
    { ...envelope, kind: "request-vote", preVote: true, isTransfer: false, last: { term: 2, index: 300 } },
    "03010002ac02",
  ],
  [{ ...envelope, kind: "install-snapshot", start: { term: 2, index: 300 } }, "0302ac02"],
  [{ ...envelope, kind: "timeout-now" }, "03"],
  [{ ...envelope, kind: "request-vote-reply", preVote: false, granted: true, timeMs: 300 }, "030001ac02"],
  [{ ...envelope, kind: "heartbeat", commit: 200, context: 1, timeMs: 300, held: 198 }, "03c80101ac02c601"],
  [{ ...envelope, kind: "heartbeat-reply", context: 128, timeMs: 300 }, "038001ac02"],
  [{ ...envelope, kind: "heartbeat-reply", context: 128 }, "03800100"],
  [
    { ...envelope, kind: "append-entries-reply", accepted: true, index: 9, hint: { term: 3, index: 9 } },
    "0301090309",
  ],
  [
    {
      ...envelope,
      kind: "append-entries",
      prev: { term: 1, index: 4 },
      commit: 4,
      entries: [
        { kind: "noop", term: 2, index: 5, data: toUtf8("") },
        { kind: "command", term: 3, index: 6, data: toUtf8("hi") },
        { kind: "config", term: 3, index: 7, data: toUtf8("c") },
      ],
    },
    "03010404" + "03" + "010200" + "0203026869" + "03030163",
  ],
];

function encode(message: Message): Bytes {
  const writer = new ByteWriter();
  encodeMessage(writer, message);
  return writer.take();
}

function decode(number: number, bytes: Bytes): Message {
  return decodeMessage(number, new ByteReader(bytes), from, to);
}

test("messages look as their grammar says, and are read back", () => {
  for (const [message, hex] of examples) {
    expect(toHex(encode(message))).toBe(hex);
    expect(decode(methodOf[message.kind], encode(message))).toEqual(message);
  }
});

test("entries and their acknowledgements stay out of a heartbeat's way", () => {
  const lanes = examples.map(([message]) => `${message.kind} ${laneOf(message)}`);
  expect(lanes.filter((lane) => lane.endsWith("bulk"))).toEqual([
    "append-entries-reply bulk",
    "append-entries bulk",
  ]);
});

test("every message that is cut off is refused, and so is whatever follows one", () => {
  for (const [message] of examples) {
    const bytes = encode(message);
    const number = methodOf[message.kind];
    for (let length = 0; length < bytes.length; length++)
      expect(() => decode(number, bytes.subarray(0, length))).toThrow(DecodeError);
    expect(() => decode(number, new Uint8Array([...bytes, 0]))).toThrow(DecodeError);
  }
});

test("flipped and random bytes never throw anything but a DecodeError", () => {
  const check = (number: number, bytes: Bytes) => {
    try {
      const message = decode(number, bytes);
      expect(decode(number, encode(message))).toEqual(message);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
    }
  };
  for (const [message] of examples) {
    const bytes = encode(message);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = bytes.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      check(methodOf[message.kind], flipped);
    }
  }
  eachSeed(3, (prng) => {
    for (let run = 0; run < 2000; run++) check(prng.int(0, 40), randomBytes(prng, 30));
  });
});

test("entries that are no leader's log are refused: terms that fall, or pass the sender's", () => {
  const entry = (term: number): Entry => ({ kind: "noop", term, index: 1, data: toUtf8("") });
  const append = (prevTerm: number, ...terms: number[]): Message => ({
    ...envelope,
    kind: "append-entries",
    prev: { term: prevTerm, index: 0 },
    commit: 0,
    entries: terms.map(entry),
  });
  for (const message of [append(2, 1), append(1, 3, 2), append(1, 4)])
    expect(() => decode(method.appendEntries, encode(message))).toThrow("does not fit");
  expect(decode(method.appendEntries, encode(append(1, 2, 2, 3)))).toMatchObject({
    entries: [{ index: 1 }, { index: 2 }, { index: 3 }],
  });
});

test("a count of entries that is not there costs nothing", () => {
  const writer = new ByteWriter();
  for (const value of [3, 0, 0, 0, Number.MAX_SAFE_INTEGER]) writer.varint(value);
  expect(() => decode(method.appendEntries, writer.take())).toThrow(DecodeError);
  expect(() => decode(99, new Uint8Array([1]))).toThrow("method 99 is no message");
  expect(() => decode(method.requestVote, new Uint8Array([3, 2, 1, 1]))).toThrow("a flag is 2");
});

test("random messages are read back", () => {
  eachSeed(3, (prng) => {
    for (let run = 0; run < 300; run++) {
      const message = drawAppend(prng);
      expect(decode(method.appendEntries, encode(message))).toEqual(message);
    }
  });
});

function drawAppend(prng: Prng): Message {
  const prev = { term: prng.int(0, 5), index: prng.int(0, 1000) };
  const entries: Entry[] = [];
  for (let count = prng.int(0, 5), term = prev.term; count > 0; count--) {
    term += prng.int(0, 2);
    const kind = prng.pick<EntryKind>(["noop", "command", "config"]);
    entries.push({ kind, term, index: prev.index + 1 + entries.length, data: randomBytes(prng, 40) });
  }
  const term = (entries.at(-1)?.term ?? prev.term) + prng.int(0, 3);
  return { kind: "append-entries", from, to, term, prev, commit: prng.int(0, 2 ** 30), entries };
}

function randomBytes(prng: Prng, most: number): Bytes {
  return Uint8Array.from({ length: prng.int(0, most) }, () => prng.int(0, 255));
}

// ---- formation ----

const list: Member[] = [
  { nodeId: "1122334455667788" as NodeId, address: "127.0.0.1:5001", role: "voter" },
  { nodeId: "0000000000000002" as NodeId, address: "[::1]:5002", role: "incoming" },
  { nodeId: "0000000000000003" as NodeId, address: "[::1]:5003", role: "outgoing" },
  { nodeId: "0000000000000004" as NodeId, address: "[::1]:5004", role: "learner" },
];
const members = membersOf(list, [{ nodeId: "0000000000000005" as NodeId, address: "[::1]:5005" }]);

test("the members look as their grammar says", () => {
  const one = encodeMembers(membersOf(list.slice(0, 1), []));
  expect(toHex(one)).toBe(`0301${"1122334455667788"}0e${toHex(toUtf8("127.0.0.1:5001"))}0000`);
  expect(decodeMembers(encodeMembers(members))).toEqual(members);
  expect(() => decodeMembers(new Uint8Array([1, 0]))).toThrow("version 1, 3 is known");
});

test("what servers ask each other before they are a cluster is read back, and anything else is a DecodeError", () => {
  const requests: FormRequest[] = [
    { place: 1, nodeId: from, servers: "a:1 b:2", backup: "", prepare: undefined },
    {
      place: 0,
      nodeId: from,
      servers: "a:1 b:2",
      backup: "ab".repeat(32),
      prepare: { clusterId: "00000000000000c1", members },
    },
  ];
  const replies: FormReply[] = (["alone", "forming", "formed"] as const).map((state, at) => ({
    place: at,
    nodeId: to,
    backup: at === 1 ? "" : "ab".repeat(32),
    state,
    clusterId: "00000000000000c1",
    accepted: at === 1,
    text: "why",
  }));
  const written = [
    ...requests.map((request) => written1(request, encodeFormRequest, decodeFormRequest)),
    ...replies.map((reply) => written1(reply, encodeFormReply, decodeFormReply)),
  ];
  eachSeed(2, (prng) => {
    for (const { bytes, decode } of written)
      for (let run = 0; run < 300; run++) {
        const changed = bytes.slice(0, prng.int(0, bytes.length));
        if (changed.length > 0) changed[prng.int(0, changed.length - 1)] = prng.int(0, 255);
        try {
          decode(new ByteReader(changed));
        } catch (error) {
          if (!(error instanceof DecodeError)) throw error;
        }
      }
  });
});

function written1<T>(
  value: T,
  encode: (writer: ByteWriter, value: T) => void,
  decode: (reader: ByteReader) => T,
): { bytes: Bytes; decode: (reader: ByteReader) => unknown } {
  const writer = new ByteWriter();
  encode(writer, value);
  const bytes = writer.take();
  expect(decode(new ByteReader(bytes))).toEqual(value);
  return { bytes, decode };
}
