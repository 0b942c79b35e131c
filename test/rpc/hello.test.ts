import { expect, test } from "bun:test";
import { concatBytes, fromHex, toHex } from "../../src/lib/bytes.ts";
import { ByteReader, ByteWriter, DecodeError } from "../../src/lib/codec.ts";
import {
  commonVersion,
  decodeHello,
  decodeHelloReply,
  encodeHello,
  encodeHelloReply,
  type Hello,
  type HelloReply,
  makeHello,
  noId,
} from "../../src/rpc/hello.ts";

const client: Hello = makeHello({ clusterId: noId, nodeId: noId, role: "client", purpose: "client" });
const peer: Hello = {
  ...makeHello({ clusterId: "0123456789abcdef", nodeId: "fedcba9876543210", role: "peer", purpose: "bulk" }),
  versionMax: 3,
};
const reply: HelloReply = {
  code: "accepted",
  text: "",
  version: 1,
  clusterId: "0123456789abcdef",
  nodeId: "fedcba9876543210",
  timeMs: 1_700_000_000_000,
  keyBytesMax: 65_536,
  valueBytesMax: 8_388_608,
  leader: "h:1",
};

function helloBytes(hello: Hello) {
  const output = new ByteWriter();
  encodeHello(output, hello);
  return output.copy();
}

function replyBytes(hello: HelloReply) {
  const output = new ByteWriter();
  encodeHelloReply(output, hello);
  return output.copy();
}

test("a hello has the bytes its format says", () => {
  expect(toHex(helloBytes(client))).toBe("4b565246010102030000000000000000" + "0000000000000000");
  expect(toHex(helloBytes(peer))).toBe("4b56524601030102" + "0123456789abcdef" + "fedcba9876543210");
  expect(decodeHello(new ByteReader(helloBytes(client)))).toEqual(client);
  expect(decodeHello(new ByteReader(helloBytes(peer)))).toEqual(peer);
});

test("an answer has the bytes its format says", () => {
  expect(toHex(replyBytes(reply))).toBe(
    "4b565246" +
      "0001" +
      "0123456789abcdef" +
      "fedcba9876543210" +
      "0068e5cf8b010000" +
      "00000100" +
      "00008000" +
      "0203683a31",
  );
  expect(decodeHelloReply(new ByteReader(replyBytes(reply)))).toEqual(reply);
  const refusal: HelloReply = {
    ...reply,
    code: "cluster",
    text: "another cluster: é",
    version: 0,
    leader: "",
  };
  expect(decodeHelloReply(new ByteReader(replyBytes(refusal)))).toEqual(refusal);
});

test("fields of later versions are skipped", () => {
  const unknown = fromHex("c803aabbcc")!;
  expect(decodeHello(new ByteReader(concatBytes([helloBytes(peer), unknown])))).toEqual(peer);
  expect(decodeHelloReply(new ByteReader(concatBytes([replyBytes(reply), unknown])))).toEqual(reply);
});

test("a code of a later version is a refusal of unknown kind", () => {
  const bytes = replyBytes(reply);
  bytes[4] = 200;
  expect(decodeHelloReply(new ByteReader(bytes)).code).toBe("unknown");
});

test("every truncation of a hello and of an answer is refused", () => {
  for (const [bytes, decode] of [
    [helloBytes(peer), decodeHello],
    [concatBytes([replyBytes({ ...reply, leader: "" }), fromHex("0203683a31")!]), decodeHelloReply],
  ] as const)
    for (let length = 0; length < bytes.length; length++) {
      // Without its optional fields an answer is whole.
      if (decode === decodeHelloReply && length === bytes.length - 5) continue;
      expect(() => decode(new ByteReader(bytes.subarray(0, length))), `length ${length}`).toThrow(
        DecodeError,
      );
    }
});

test("a server's time that no clock shows is refused, since what is added to it would be no whole number", () => {
  const latest = { ...reply, timeMs: 8_640_000_000_000_000 };
  expect(decodeHelloReply(new ByteReader(replyBytes(latest))).timeMs).toBe(latest.timeMs);
  for (const timeMs of [latest.timeMs + 1, Number.MAX_SAFE_INTEGER])
    expect(() => decodeHelloReply(new ByteReader(replyBytes({ ...reply, timeMs })))).toThrow(DecodeError);
});

test("what is no hello is refused", () => {
  for (const hex of [
    "474554202f20485454502f312e310d0a00000000000000000000000000000000", // GET / HTTP/1.1
    "4b5652460101000300000000000000000000000000000000", // role 0
    "4b5652460101090300000000000000000000000000000000", // role 9
    "4b5652460101020000000000000000000000000000000000", // purpose 0
    "4b5652460201020300000000000000000000000000000000", // versions 2 to 1
  ])
    expect(() => decodeHello(new ByteReader(fromHex(hex)!)), hex).toThrow(DecodeError);
});

test("texts of strangers reach no terminal unchanged, and are cut", () => {
  const evil = { ...reply, code: "busy" as const, text: "\u001b[2Jgone\nnew line", leader: "x".repeat(5000) };
  const read = decodeHelloReply(new ByteReader(replyBytes(evil)));
  expect(read.text).toBe("?[2Jgone?new line");
  expect(read.leader).toHaveLength(1024);
});

test("the version both speak is the highest in common", () => {
  expect(commonVersion({ ...peer, versionMin: 1, versionMax: 9 })).toBe(1);
  expect(commonVersion({ ...peer, versionMin: 2, versionMax: 9 })).toBeUndefined();
  expect(commonVersion({ ...peer, versionMin: 0, versionMax: 0 })).toBeUndefined();
});
