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
import { helloBytesMax, helloServersBytesMax } from "../../src/rpc/limits.ts";

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
  bootId: "",
  servers: "",
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

test("a peer's hello may say where it is found", () => {
  const found = { ...peer, address: "h:1" };
  expect(toHex(helloBytes(found))).toBe(`${toHex(helloBytes(peer))}0503683a31`);
  expect(decodeHello(new ByteReader(helloBytes(found)))).toEqual(found);
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

test("a boot id and the servers have the bytes the format's example shows, and are read back", () => {
  const told = { ...reply, leader: "", bootId: "0123456789abcdef", servers: "a:1 b:2" };
  expect(toHex(replyBytes(told)).slice(2 * 38)).toBe(
    "03103031323334353637383961626364656604" + "07613a3120623a32",
  );
  expect(decodeHelloReply(new ByteReader(replyBytes(told)))).toEqual(told);
});

test("what is no boot id counts as not told", () => {
  for (const bootId of ["0123456789ABCDEF", "0123456789abcde", "0123456789abcdef0", "\u001b[2J"])
    expect(decodeHelloReply(new ByteReader(replyBytes({ ...reply, bootId }))).bootId).toBe("");
});

test("servers that are no ASCII text count as not told", () => {
  const read = decodeHelloReply(new ByteReader(replyBytes({ ...reply, servers: "a:1 \u00e9:2" })));
  expect(read.servers).toBe("");
});

test("of more servers than fit whole addresses are told, and no reply is too large for a hello", () => {
  const servers = Array.from({ length: 500 }, (_, place) => `10.0.0.${place % 256}:${5001 + place}`).join(
    " ",
  );
  const largest = {
    ...reply,
    text: "t".repeat(2000),
    leader: "l".repeat(2000),
    bootId: "0123456789abcdef",
    servers,
  };
  const bytes = replyBytes(largest);
  expect(bytes.length).toBeLessThanOrEqual(helloBytesMax);
  const read = decodeHelloReply(new ByteReader(bytes)).servers;
  expect(servers.startsWith(`${read} `)).toBe(true);
  expect(read.length).toBeWithin(helloServersBytesMax - 20, helloServersBytesMax + 1);
  // One that sends more than it may is cut in the same way.
  const field = new ByteWriter();
  field.u8(4);
  field.bytes(Buffer.from(servers));
  const sent = concatBytes([replyBytes({ ...reply, servers: "" }), field.copy()]);
  expect(decodeHelloReply(new ByteReader(sent)).servers).toBe(read);
  expect(decodeHelloReply(new ByteReader(replyBytes({ ...reply, servers: "x".repeat(2000) }))).servers).toBe(
    "",
  );
});

test("a refusal may say that the node was removed", () => {
  const removed: HelloReply = { ...reply, code: "removed", text: "Node 1 was removed", version: 0 };
  expect(replyBytes(removed)[4]).toBe(7);
  expect(decodeHelloReply(new ByteReader(replyBytes(removed)))).toEqual(removed);
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
