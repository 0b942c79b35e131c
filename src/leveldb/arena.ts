import { assert } from "../lib/assert.ts";
import type { Bytes } from "../lib/bytes.ts";

/**
 * An address is the number of a chunk and an offset in it: `chunk << offsetBits | offset`, an unsigned 32-bit
 * number.
 */
export const offsetBits = 20;
export const offsetMask = (1 << offsetBits) - 1;
const chunkBytes = 1 << offsetBits;
/** A small store is common: its first chunk is, too. */
const firstChunkBytes = 16 * 1024;
/** What is larger gets a chunk of its own, so that little of a chunk's end is wasted. */
const sharedBytesMax = chunkBytes / 8;
export const chunksMax = 1 << (32 - offsetBits);

/** Chunks that nobody uses: what was written to once costs no page faults any more. */
export class ChunkPool {
  readonly #free: SharedArrayBuffer[] = [];
  readonly #chunksMax: number;

  /** Keeps up to so many bytes. */
  constructor(bytesMax: number) {
    this.#chunksMax = Math.floor(bytesMax / chunkBytes);
  }

  take(): SharedArrayBuffer {
    return this.#free.pop() ?? new SharedArrayBuffer(chunkBytes);
  }

  /** Takes back chunks that nobody looks at any more. */
  give(chunks: readonly SharedArrayBuffer[]): void {
    for (const chunk of chunks) {
      if (this.#free.length >= this.#chunksMax) return;
      if (chunk.byteLength === chunkBytes) this.#free.push(chunk);
    }
  }
}

/**
 * Shared memory that is only appended to: what was written to a place stays as it is until the whole arena is
 * released, so another thread may read it meanwhile. Places begin at multiples of 4.
 */
export class Arena {
  /** By number. */
  readonly chunks: Bytes[] = [];
  /** The same memory in words of 32 bits. */
  readonly words: Uint32Array[] = [];
  readonly #pool: ChunkPool;
  /** The chunk that is being filled, and how far. */
  #filling = -1;
  #used = 0;
  #limit = 0;
  #bytes = 0;

  constructor(pool: ChunkPool) {
    this.#pool = pool;
  }

  /** Bytes that were reserved. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether addresses run out soon. */
  get isCrowded(): boolean {
    return this.chunks.length > chunksMax / 2;
  }

  /** The address of a place for so many bytes. */
  reserve(length: number): number {
    const rounded = (length + 3) & ~3;
    this.#bytes += rounded;
    if (rounded > this.#limit - this.#used) {
      if (rounded > sharedBytesMax) return this.#add(new SharedArrayBuffer(rounded)) * chunkBytes;
      const isFirst = this.chunks.length === 0 && rounded <= firstChunkBytes;
      const chunk = isFirst ? new SharedArrayBuffer(firstChunkBytes) : this.#pool.take();
      this.#filling = this.#add(chunk);
      this.#used = 0;
      this.#limit = chunk.byteLength;
    }
    const offset = this.#used;
    this.#used += rounded;
    return this.#filling * chunkBytes + offset;
  }

  /** Gives the memory back. Nobody reads from it any more. */
  release(): void {
    this.#pool.give(this.buffers());
    this.chunks.length = 0;
    this.words.length = 0;
    this.#limit = 0;
    this.#used = 0;
  }

  /** The memory, for another thread. */
  buffers(): SharedArrayBuffer[] {
    return this.chunks.map(({ buffer }) => {
      assert(buffer instanceof SharedArrayBuffer, "an arena is made of shared memory");
      return buffer;
    });
  }

  #add(chunk: SharedArrayBuffer): number {
    assert(this.chunks.length < chunksMax, "an arena has addresses left");
    this.words.push(new Uint32Array(chunk));
    return this.chunks.push(new Uint8Array(chunk)) - 1;
  }
}
