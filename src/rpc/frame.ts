/**
 * Frames: all that a connection carries, in both directions. Little endian.
 *
 *     frame     = length:u32 crc:u32 kind:u8 method:u8 group:u16 requestId:u32 body
 *     length    = bytes of body, at most frameBodyBytesMax (helloBytesMax before the hello is accepted)
 *     crc       = CRC-32 of everything after it, seeded with `length` xor "KVRF": so it covers the length, and a frame
 *                 of zeros does not pass
 *     kind      = request 1 | reply 2 | message 3 | hello 4 | helloReply 5 | goodbye 6 | ping 7 | pong 8
 *                 (goodbye: the last frame, the sender wants no replies any more; ping: the sender wants a sign of
 *                 life; pong: that sign, also sent unasked while a large frame arrives; these three have no body)
 *     method    = see method.ts; 0 for those that are neither request, reply nor message
 *     group     = the Raft group, 0 for now
 *     requestId = names a request among those of its connection, repeated by its reply; 0 for all but those
 *
 * Example: request 7, KVServer.Get, with the body "hi":
 *
 *     02 00 00 00  8E BF 43 CC  01 01 00 00  07 00 00 00  68 69
 *     length 2     crc          kind, method request id   body
 *                               1, 1, group 0
 *
 * Example: a ping, the same each time:
 *
 *     00 00 00 00  53 D0 E0 CD  07 00 00 00  00 00 00 00
 */
import { assert } from "../lib/assert.ts";
import type { Bytes } from "../lib/bytes.ts";
import { crc32 } from "../lib/checksum.ts";
import { ByteReader, type ByteWriter, readU32 } from "../lib/codec.ts";
import { frameHeaderBytes } from "./limits.ts";

export const frameKind = {
  request: 1,
  reply: 2,
  message: 3,
  hello: 4,
  helloReply: 5,
  goodbye: 6,
  ping: 7,
  pong: 8,
} as const;
export type FrameKind = (typeof frameKind)[keyof typeof frameKind];

/**
 * One frame that arrived. The parser reuses the object for the next one; the bytes it shows may be kept, but keep the
 * whole chunk they arrived in alive (`copyBytes` what is small and stays).
 */
export class Frame {
  kind: FrameKind = frameKind.message;
  method = 0;
  requestId = 0;
  /** The body is source[offset, limit). */
  source: Bytes = new Uint8Array(0);
  offset = 0;
  limit = 0;

  /** The body as a view. */
  body(): Bytes {
    return this.source.subarray(this.offset, this.limit);
  }

  /** Reads the body; DecodeErrors may be left to the connection, which then closes (see Connection). */
  reader(): ByteReader {
    return new ByteReader(this.source, this.offset, this.limit);
  }
}

/** Encodes a frame's header with room for length and CRC; returns where the frame begins, for `endFrame`. */
export function beginFrame(output: ByteWriter, kind: FrameKind, method: number, requestId: number): number {
  const start = output.length;
  output.u32(0); // Length and CRC, for `endFrame`.
  output.u32(0);
  output.u32(kind | (method << 8));
  output.u32(requestId);
  return start;
}

/** Completes the frame that began at `start` and ends at the writer's end. */
export function endFrame(output: ByteWriter, start: number): void {
  const length = output.length - start - frameHeaderBytes;
  assert(length >= 0, "a frame ends after it began");
  output.setU32(start, length);
  output.setU32(start + 4, crc32(output.viewFrom(start + 8), crcSeed(length)));
}

/**
 * Cuts a byte stream into frames: `feed` a chunk, then call `next` until it returns undefined. Frames that lie whole in
 * a chunk are views of it; only one that spans chunks is collected, in a buffer that grows as its bytes arrive, never
 * ahead of them by more than a factor of four.
 */
export class FrameParser {
  readonly #frame = new Frame();
  #chunk: Bytes = noBytes;
  #offset = 0;
  /** The start of a frame that spans chunks; `#partialLength` bytes of it have arrived. */
  #partial: Bytes = noBytes;
  #partialLength = 0;
  /** The largest body that is accepted from now on. */
  bodyBytesMax: number;
  /** Why the stream cannot be read on; once set, `next` returns undefined for good. */
  error: string | undefined = undefined;

  constructor(bodyBytesMax: number) {
    this.bodyBytesMax = bodyBytesMax;
  }

  /** Bytes of a frame that has begun and not arrived whole. */
  get partialBytes(): number {
    return this.#partialLength + this.#chunk.length - this.#offset;
  }

  /** Bytes that `next` has yet to look at. */
  get unreadBytes(): number {
    return this.#chunk.length - this.#offset;
  }

  /** Memory that is held for a frame that has begun: more than has arrived of it, and never more than it claims. */
  get heldBytes(): number {
    return this.#partial.length;
  }

  /** The chunk belongs to the parser, and to the frames it yields. */
  feed(chunk: Bytes): void {
    assert(this.#offset === this.#chunk.length, "a chunk is fed after the last one was parsed");
    this.#chunk = chunk;
    this.#offset = 0;
  }

  next(): Frame | undefined {
    if (this.error !== undefined) return undefined;
    if (this.#partialLength > 0) return this.#nextAcrossChunks();
    const available = this.#chunk.length - this.#offset;
    if (available >= frameHeaderBytes) {
      const total = this.#totalBytes(this.#chunk, this.#offset);
      if (total === undefined) return undefined;
      if (available >= total) {
        const start = this.#offset;
        this.#offset += total;
        return this.#accept(this.#chunk, start, total);
      }
      this.#keep(available, Math.min(total, available * growth));
    } else if (available > 0) this.#keep(available, frameHeaderBytes);
    this.#release();
    return undefined;
  }

  #nextAcrossChunks(): Frame | undefined {
    if (this.#partialLength < frameHeaderBytes) this.#collect(frameHeaderBytes);
    if (this.#partialLength >= frameHeaderBytes) {
      const total = this.#totalBytes(this.#partial, 0);
      if (total === undefined) return undefined;
      this.#collect(total);
      if (this.#partialLength === total) {
        const whole = this.#partial;
        this.#partial = noBytes;
        this.#partialLength = 0;
        return this.#accept(whole, 0, total);
      }
    }
    this.#release();
    return undefined;
  }

  /** The length of the frame whose header stands at `start`, or undefined, with `error` set, when it may not be so long. */
  #totalBytes(bytes: Bytes, start: number): number | undefined {
    const length = readU32(bytes, start);
    if (length <= this.bodyBytesMax) return frameHeaderBytes + length;
    this.error = `a frame claims ${length} bytes, at most ${this.bodyBytesMax} are allowed`;
    return undefined;
  }

  #accept(bytes: Bytes, start: number, total: number): Frame | undefined {
    const length = total - frameHeaderBytes;
    const end = start + total;
    if (crc32(bytes.subarray(start + 8, end), crcSeed(length)) !== readU32(bytes, start + 4)) {
      this.error = `a frame of ${length} bytes fails its checksum`;
      return undefined;
    }
    const kind = kindOf(bytes[start + 8]!);
    const group = bytes[start + 10]! | (bytes[start + 11]! << 8);
    if (kind === undefined) this.error = `a frame has the unknown kind ${bytes[start + 8]}`;
    else if (group !== 0) this.error = `a frame is for the unknown Raft group ${group}`;
    else {
      const frame = this.#frame;
      frame.kind = kind;
      frame.method = bytes[start + 9]!;
      frame.requestId = readU32(bytes, start + 12);
      frame.source = bytes;
      frame.offset = start + frameHeaderBytes;
      frame.limit = end;
      return frame;
    }
    return undefined;
  }

  /** Starts to collect a frame with all that is left of the chunk. */
  #keep(available: number, capacity: number): void {
    this.#partial = new Uint8Array(capacity);
    this.#partial.set(this.#offset === 0 ? this.#chunk : this.#chunk.subarray(this.#offset));
    this.#partialLength = available;
  }

  /** Moves bytes from the chunk until the partial frame has `total`, or the chunk is empty. */
  #collect(total: number): void {
    const count = Math.min(total - this.#partialLength, this.#chunk.length - this.#offset);
    const wanted = this.#partialLength + count;
    if (wanted > this.#partial.length) {
      const grown = new Uint8Array(Math.min(total, wanted * growth));
      grown.set(this.#partial.subarray(0, this.#partialLength));
      this.#partial = grown;
    }
    this.#partial.set(this.#chunk.subarray(this.#offset, this.#offset + count), this.#partialLength);
    this.#partialLength = wanted;
    this.#offset += count;
  }

  /** Lets go of everything: nothing more is read. */
  drop(): void {
    this.#release();
    this.#partial = noBytes;
    this.#partialLength = 0;
  }

  /** Lets go of a chunk that was parsed, so that an idle connection holds none. */
  #release(): void {
    this.#chunk = noBytes;
    this.#offset = 0;
    this.#frame.source = noBytes;
  }
}

const noBytes: Bytes = new Uint8Array(0);

/** Large enough that a frame of 24 MiB is hardly moved, small enough that a claim costs a liar memory too. */
const growth = 4;

/** Never 0: lengths are far below "KVRF" as a number. */
function crcSeed(length: number): number {
  return (length ^ 0x4652_564b) >>> 0;
}

function kindOf(number: number): FrameKind | undefined {
  switch (number) {
    case frameKind.request:
    case frameKind.reply:
    case frameKind.message:
    case frameKind.hello:
    case frameKind.helloReply:
    case frameKind.goodbye:
    case frameKind.ping:
    case frameKind.pong:
      return number;
    default:
      return undefined;
  }
}
