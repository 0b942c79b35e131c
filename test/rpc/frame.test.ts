import { heapStats } from "bun:jsc";
import { expect, test } from "bun:test";
import { Prng } from "../../src/env/prng.ts";
import { type Bytes, concatBytes, copyBytes, fromHex, toHex, toUtf8 } from "../../src/lib/bytes.ts";
import { ByteWriter } from "../../src/lib/codec.ts";
import { beginFrame, endFrame, FrameParser, frameKind } from "../../src/rpc/frame.ts";
import { frameBodyBytesMax } from "../../src/rpc/limits.ts";
import { method } from "../../src/rpc/method.ts";

const seed = Number(process.env["SEED"] ?? 20260722);

interface Seen {
  kind: number;
  method: number;
  requestId: number;
  body: string;
}

function encode(kind: 1 | 2 | 3 | 4 | 5, method: number, requestId: number, body: Bytes): Bytes {
  const output = new ByteWriter();
  const start = beginFrame(output, kind, method, requestId);
  output.raw(body);
  endFrame(output, start);
  return output.copy();
}

/** Feeds the chunks; bodies are turned into text only at the end, so that memory that is used twice shows. */
function parse(parser: FrameParser, chunks: readonly Bytes[]): Seen[] {
  const seen: { kind: number; method: number; requestId: number; body: Bytes }[] = [];
  for (const chunk of chunks) {
    parser.feed(chunk);
    for (let frame = parser.next(); frame !== undefined; frame = parser.next())
      seen.push({
        kind: frame.kind,
        method: frame.method,
        requestId: frame.requestId,
        body: frame.body(),
      });
    if (parser.error !== undefined) break;
  }
  return seen.map((frame) => ({ ...frame, body: toHex(frame.body) }));
}

function cut(prng: Prng, bytes: Bytes, most: number): Bytes[] {
  const chunks: Bytes[] = [];
  for (let offset = 0; offset < bytes.length; ) {
    const count = Math.min(bytes.length - offset, prng.int(1, most));
    chunks.push(copyBytes(bytes.subarray(offset, offset + count)));
    offset += count;
  }
  return chunks;
}

test("a frame has the bytes its format says", () => {
  const frame = encode(frameKind.request, method.get, 7, toUtf8("hi"));
  expect(toHex(frame)).toBe(golden);
  expect(parse(new FrameParser(10), [fromHex(golden)!])).toEqual([
    { kind: frameKind.request, method: method.get, requestId: 7, body: toHex(toUtf8("hi")) },
  ]);
});
const golden = "020000008ebf43cc01010000070000006869";

test("frames are the same however the stream is cut", () => {
  const prng = new Prng(seed);
  for (let round = 0; round < 100; round++) {
    const frames: Seen[] = [];
    const parts: Bytes[] = [];
    for (let count = prng.int(1, 12); count > 0; count--) {
      const length = prng.chance(1, 8) ? prng.int(0, 20_000) : prng.int(0, 60);
      const body = new Uint8Array(length).map(() => prng.int(0, 255));
      const kind = prng.pick([frameKind.request, frameKind.reply, frameKind.message]);
      const id = prng.u32();
      frames.push({ kind, method: prng.int(0, 255), requestId: id, body: toHex(body) });
      parts.push(encode(kind, frames.at(-1)!.method, id, body));
    }
    const parser = new FrameParser(frameBodyBytesMax);
    const most = prng.pick([1, 3, 17, 100, 5000, 100_000]);
    const seen = parse(parser, cut(prng, concatBytes(parts), most));
    expect(parser.error, `seed ${seed} round ${round}`).toBeUndefined();
    expect(seen, `seed ${seed} round ${round} most ${most}`).toEqual(frames);
    expect(parser.partialBytes).toBe(0);
  }
});

test("frames that lie whole in a chunk are views of it", () => {
  const parser = new FrameParser(100);
  const chunk = concatBytes([
    encode(frameKind.message, 1, 0, toUtf8("one")),
    encode(frameKind.message, 1, 0, toUtf8("two")),
  ]);
  parser.feed(chunk);
  expect(parser.next()?.body().buffer).toBe(chunk.buffer);
  expect(parser.next()?.body().buffer).toBe(chunk.buffer);
  expect(parser.next()).toBeUndefined();
});

test("no prefix of a frame is a frame, and the rest completes it", () => {
  const frame = encode(frameKind.reply, 2, 99, toUtf8("a body of some length"));
  for (let length = 0; length < frame.length; length++) {
    const parser = new FrameParser(100);
    expect(parse(parser, [copyBytes(frame.subarray(0, length))])).toEqual([]);
    expect(parser.error).toBeUndefined();
    expect(parser.partialBytes).toBe(length);
    expect(parse(parser, [copyBytes(frame.subarray(length))])).toHaveLength(1);
  }
});

test("no flipped bit goes unnoticed", () => {
  const frame = encode(frameKind.request, method.put, 5, toUtf8("the quick brown fox"));
  // Enough follows for a length that has grown to be filled; each byte differs from a plausible continuation.
  const rest = new Uint8Array(5000).fill(0xee);
  for (let bit = 0; bit < frame.length * 8; bit++) {
    const damaged = copyBytes(frame);
    damaged[bit >> 3]! ^= 1 << (bit & 7);
    for (const chunks of [[concatBytes([damaged, rest])], [damaged, rest]]) {
      const parser = new FrameParser(4096);
      expect(parse(parser, chunks), `bit ${bit}`).toEqual([]);
      expect(parser.error, `bit ${bit}`).toBeString();
    }
  }
});

test("zeros are no frame", () => {
  const parser = new FrameParser(100);
  expect(parse(parser, [new Uint8Array(64)])).toEqual([]);
  expect(parser.error).toBe("a frame of 0 bytes fails its checksum");
});

test("a length over the limit is refused as soon as it is seen", () => {
  const parser = new FrameParser(4096);
  parser.feed(concatBytes([fromHex("ffffffff")!, new Uint8Array(12)]));
  expect(parser.next()).toBeUndefined();
  expect(parser.error).toBe("a frame claims 4294967295 bytes, at most 4096 are allowed");
  expect(parser.next()).toBeUndefined();
});

test("an unknown kind or group is refused though its checksum holds", () => {
  const output = new ByteWriter();
  for (const [header, error] of [
    [9, "a frame has the unknown kind 9"],
    [0x0007_0001, "a frame is for the unknown Raft group 7"],
  ] as const) {
    output.clear();
    const start = output.skip(8);
    output.u32(header);
    output.u32(0);
    endFrame(output, start);
    const parser = new FrameParser(100);
    expect(parse(parser, [output.copy()])).toEqual([]);
    expect(parser.error).toBe(error);
  }
});

test("a claimed length takes memory only as its bytes arrive", () => {
  const header = new ByteWriter();
  header.u32(frameBodyBytesMax);
  header.raw(new Uint8Array(12));
  const before = heapStats().extraMemorySize;
  const parsers: FrameParser[] = [];
  for (let count = 0; count < 50; count++) {
    const parser = new FrameParser(frameBodyBytesMax);
    parse(parser, [header.copy(), new Uint8Array(1000)]);
    parsers.push(parser);
  }
  expect(parsers.every((parser) => parser.partialBytes === 1016)).toBe(true);
  expect(heapStats().extraMemorySize - before).toBeLessThan(frameBodyBytesMax);
});

test("a large frame in small pieces is collected in linear time", () => {
  const body = new Uint8Array(frameBodyBytesMax).fill(7);
  const frame = encode(frameKind.reply, 1, 1, body);
  const parser = new FrameParser(frameBodyBytesMax);
  const startedAt = performance.now();
  let seen = 0;
  for (let offset = 0; offset < frame.length; offset += 1500) {
    parser.feed(frame.subarray(offset, offset + 1500));
    for (let next = parser.next(); next !== undefined; next = parser.next()) seen += next.limit - next.offset;
  }
  expect(seen).toBe(frameBodyBytesMax);
  // Copying 24 MiB for each of its 16,000 pieces would take minutes.
  expect(performance.now() - startedAt).toBeLessThan(2000);
});
