/**
 * Streams of frames, damaged and cut into any pieces. A dumb parser that sees the whole stream at once says which
 * frames there are, and whether the stream ends in an error; the real one has to agree, however the stream is cut.
 */
import { Prng } from "../../src/env/prng.ts";
import { type Bytes, concatBytes, copyBytes, toHex } from "../../src/lib/bytes.ts";
import { crc32 } from "../../src/lib/checksum.ts";
import { ByteWriter, readU32 } from "../../src/lib/codec.ts";
import { FrameParser, frameKind } from "../../src/rpc/frame.ts";
import { frameHeaderBytes, helloBytesMax } from "../../src/rpc/limits.ts";
import { bytesTarget, ensure, ensureEqual, withinMemory } from "./fuzzer.ts";
import { mutate, overwrite, randomBytes, randomOrMutated } from "./mutate.ts";
import { frameOf, randomMethod } from "./values.ts";

/** What a stream holds: each frame's header from its kind on and its body, and whether something bad follows. */
interface Seen {
  readonly frames: readonly string[];
  readonly isBad: boolean;
}

function drawStream(prng: Prng): Bytes {
  const stream = (): Bytes => {
    const frames: Bytes[] = [];
    for (let count = prng.int(1, 6); count > 0; count--) {
      const body = randomBytes(prng, prng.pick([0, 20, 300, 5000]));
      const frame = frameOf(prng.pick(Object.values(frameKind)), randomMethod(prng), prng.u32(), body);
      frames.push(prng.chance(1, 6) ? resealed(mutate(prng, frame)) : frame);
    }
    return concatBytes(frames);
  };
  return randomOrMutated(prng, stream);
}

/** The same bytes with a length and a checksum that fit, so that what is behind them is looked at. */
function resealed(frame: Bytes): Bytes {
  if (frame.length < frameHeaderBytes) return frame;
  const length = frame.length - frameHeaderBytes;
  const writer = new ByteWriter();
  writer.u32(length);
  writer.u32(crc32(frame.subarray(8), (length ^ 0x4652_564b) >>> 0));
  return overwrite(frame, 0, writer.view());
}

function parseDumbly(stream: Bytes, bodyBytesMax: number): Seen {
  const frames: string[] = [];
  for (let at = 0; at + frameHeaderBytes <= stream.length; ) {
    const length = readU32(stream, at);
    if (length > bodyBytesMax) return { frames, isBad: true };
    const end = at + frameHeaderBytes + length;
    if (end > stream.length) break;
    const isSealed =
      crc32(stream.subarray(at + 8, end), (length ^ 0x4652_564b) >>> 0) === readU32(stream, at + 4);
    const kind = stream[at + 8]!;
    const isKnown =
      (Object.values(frameKind) as number[]).includes(kind) && stream[at + 10] === 0 && stream[at + 11] === 0;
    if (!isSealed || !isKnown) return { frames, isBad: true };
    frames.push(toHex(stream.subarray(at + 8, end)));
    at = end;
  }
  return { frames, isBad: false };
}

function parse(stream: Bytes, cuts: Prng, pieceMax: number, bodyBytesMax: number): Seen {
  const parser = new FrameParser(bodyBytesMax);
  const seen: { head: number[]; requestId: number; body: Bytes }[] = [];
  for (let at = 0; at < stream.length && parser.error === undefined; ) {
    const end = Math.min(stream.length, at + cuts.int(1, pieceMax));
    parser.feed(copyBytes(stream.subarray(at, end)));
    at = end;
    for (let frame = parser.next(); frame !== undefined; frame = parser.next())
      seen.push({ head: [frame.kind, frame.method, 0, 0], requestId: frame.requestId, body: frame.body() });
  }
  // Turned into text only now, so that memory that is used twice shows.
  const frames = seen.map(({ head, requestId, body }) => {
    const writer = new ByteWriter();
    writer.u32(requestId);
    return toHex(concatBytes([new Uint8Array(head), writer.view(), body]));
  });
  ensure(parser.next() === undefined, "a parser that was drained, or has failed, yields no frame");
  return { frames, isBad: parser.error !== undefined };
}

export const framesTarget = bytesTarget("frames", drawStream, (stream) => {
  // The pieces follow from the stream, so that an input alone is the whole case.
  const cuts = new Prng(crc32(stream));
  const bodyBytesMax = cuts.pick([100, helloBytesMax, 24 * 1024 * 1024]);
  const wanted = parseDumbly(stream, bodyBytesMax);
  for (const pieceMax of [stream.length + 1, cuts.pick([1, 3, 17, 100, 1000])])
    withinMemory(stream.length, () =>
      ensureEqual(
        parse(stream, cuts, pieceMax, bodyBytesMax),
        wanted,
        `a stream in pieces of ${pieceMax} bytes is what it is as a whole`,
      ),
    );
});
