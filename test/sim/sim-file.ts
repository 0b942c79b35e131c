import type { Prng } from "../../src/env/prng.ts";
import type { Bytes } from "../../src/lib/bytes.ts";
import type { Fate } from "./plan.ts";

/** Disks write sectors whole: a torn write is some sectors new and the others old. */
const sectorBytes = 512;

export interface UnsyncedWrite {
  readonly offset: number;
  readonly bytes: Bytes;
}

/** A file's content: as processes see it, and as it survives a power cut. */
export class SimFile {
  #visible = new GrowingBytes();
  readonly #durable = new GrowingBytes();
  #unsynced: UnsyncedWrite[] = [];
  /** Durable writes that have not ended. */
  readonly underWay = new Set<UnsyncedWrite>();

  get bytes(): Bytes {
    return this.#visible.view();
  }

  write(offset: number, bytes: Bytes): UnsyncedWrite {
    const write = { offset, bytes: bytes.slice() };
    this.#visible.put(offset, write.bytes);
    this.#unsynced.push(write);
    return write;
  }

  /** Makes one write durable. */
  harden(write: UnsyncedWrite): void {
    const at = this.#unsynced.indexOf(write);
    if (at < 0) return;
    this.#unsynced.splice(at, 1);
    this.#durable.put(write.offset, write.bytes);
  }

  sync(): void {
    for (const { offset, bytes } of this.#unsynced) this.#durable.put(offset, bytes);
    this.#unsynced = [];
  }

  /** What was not synced is gone, or is there, or is there in parts. */
  powerCut(fate: Fate, prng: Prng): void {
    const keeps = (): boolean => fate === "kept" || (fate === "torn" && prng.chance(1, 2));
    for (const { offset, bytes } of this.#unsynced) {
      const limit = offset + bytes.length;
      for (let from = offset; from < limit; ) {
        const to = Math.min(limit, (Math.floor(from / sectorBytes) + 1) * sectorBytes);
        if (keeps()) this.#durable.put(from, bytes.subarray(from - offset, to - offset));
        from = to;
      }
    }
    this.#unsynced = [];
    this.underWay.clear();
    this.#visible = new GrowingBytes();
    this.#visible.put(0, this.#durable.view());
  }

  flip(offset: number, bit: number): void {
    for (const content of [this.#visible, this.#durable]) {
      const bytes = content.view();
      if (offset < bytes.length) bytes[offset]! ^= 1 << bit;
    }
  }
}

/** Bytes that grow at the end without being copied each time. */
class GrowingBytes {
  #bytes: Bytes = new Uint8Array(0);
  #length = 0;

  view(): Bytes {
    return this.#bytes.subarray(0, this.#length);
  }

  put(offset: number, bytes: Bytes): void {
    const limit = offset + bytes.length;
    if (limit > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(limit, 2 * this.#bytes.length));
      grown.set(this.view());
      this.#bytes = grown;
    }
    this.#bytes.set(bytes, offset);
    this.#length = Math.max(this.#length, limit);
  }
}
