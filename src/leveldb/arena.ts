import { type Bytes, emptyBytes } from "../lib/bytes.ts";

/** The first chunk is small, because a small store is common, and each next one doubles. */
const firstChunkBytes = 4 * 1024;
const chunkBytesMax = 256 * 1024;

/**
 * Byte strings packed into chunks that are only appended to. What was written to a place stays where and as it is, so
 * a view of it may be handed out; a source buffer is never kept alive.
 */
export class Arena {
  /** The chunk that holds the place reserved last, and where the place starts in it. */
  chunk: Bytes = emptyBytes;
  offset = 0;
  #filling: Bytes = emptyBytes;
  #used = 0;

  /** Leaves in `chunk` and `offset` a place for `length` bytes, to be written at once. */
  reserve(length: number): void {
    if (length > this.#filling.length - this.#used && !this.#makeRoom(length)) {
      this.chunk = new Uint8Array(length);
      this.offset = 0;
      return;
    }
    this.chunk = this.#filling;
    this.offset = this.#used;
    this.#used += length;
  }

  /** False for bytes that deserve a chunk of their own, so that little of a chunk's end is wasted. */
  #makeRoom(length: number): boolean {
    const chunkBytes = Math.min(Math.max(firstChunkBytes, this.#filling.length * 2), chunkBytesMax);
    if (length > chunkBytes / 8) return false;
    this.#filling = new Uint8Array(chunkBytes);
    this.#used = 0;
    return true;
  }
}
