import type { Prng } from "../../src/env/prng.ts";
import { type Bytes, concatBytes, emptyBytes } from "../../src/lib/bytes.ts";
import { readU32 } from "../../src/lib/codec.ts";
import { frameKind } from "../../src/rpc/frame.ts";
import { frameHeaderBytes } from "../../src/rpc/limits.ts";
import { between, type Sky } from "./sky.ts";

/**
 * Follows the frames of a byte stream and decides what becomes of each. Only requests, replies and messages are subject to the
 * weather; a cut takes any. A claim of more than a frame can hold makes the stream raw from there on.
 */
export class FrameSorter {
  isRaw = false;
  readonly #sky: Sky;
  readonly #late: (frame: Bytes, lateMs: number) => void;
  /** Bytes of the current frame that have yet to arrive. */
  #left = 0;
  /** Whether the current frame is handed on in its place. */
  #isPassed = true;
  /** The current frame as it will arrive later. */
  #copy: Bytes | undefined = undefined;
  #copied = 0;
  #lateMs = 0;
  /** The start of a header. */
  #head: Bytes = emptyBytes;

  constructor(sky: Sky, late: (frame: Bytes, lateMs: number) => void) {
    this.#sky = sky;
    this.#late = late;
  }

  /** Whether what was handed on ends in the middle of a frame. */
  get isInside(): boolean {
    return this.#left > 0 && this.#isPassed;
  }

  get hasHead(): boolean {
    return this.#head.length > 0;
  }

  /** The bytes of a header that will not become whole. */
  takeHead(): Bytes {
    const head = this.#head;
    this.#head = emptyBytes;
    return head;
  }

  /** Returns what of these bytes is handed on in order. */
  take(arrived: Bytes, isLost: boolean): Bytes {
    if (this.isRaw) return isLost ? emptyBytes : arrived;
    const bytes = this.#head.length === 0 ? arrived : concatBytes([this.takeHead(), arrived]);
    const kept: Bytes[] = [];
    let keptFrom = 0;
    let at = 0;
    while (at < bytes.length) {
      if (this.#left === 0) {
        if (bytes.length - at < frameHeaderBytes) break;
        if (!this.#begin(bytes, at, isLost)) at = bytes.length;
      }
      const count = Math.min(this.#left, bytes.length - at);
      this.#keepCopy(bytes, at, count);
      this.#left -= count;
      if (!this.#isPassed && count > 0) {
        if (at > keptFrom) kept.push(bytes.subarray(keptFrom, at));
        keptFrom = at + count;
      }
      at += count;
    }
    if (at < bytes.length) this.#head = bytes.slice(at);
    if (kept.length === 0 && keptFrom === 0 && at === bytes.length) return bytes;
    if (at > keptFrom) kept.push(bytes.subarray(keptFrom, at));
    return kept.length === 1 ? kept[0]! : concatBytes(kept);
  }

  /** Decides on the frame whose header stands at `at`; false when the stream is raw from here on. */
  #begin(bytes: Bytes, at: number, isLost: boolean): boolean {
    const length = readU32(bytes, at);
    this.#copy = undefined;
    this.#isPassed = !isLost;
    if (length > rawBytesMin) {
      this.isRaw = true;
      return false;
    }
    this.#left = frameHeaderBytes + length;
    const kind = bytes[at + 8];
    const isSubject = kind === frameKind.request || kind === frameKind.reply || kind === frameKind.message;
    if (isSubject && !isLost) this.#meetWeather(kind !== frameKind.request);
    if (this.#isPassed) this.#sky.counts.delivered++;
    else if (this.#copy === undefined) this.#sky.counts.lost++;
    return true;
  }

  /** A client relies on TCP in that a request it has sent once is handled once: none of those is doubled. */
  #meetWeather(mayBeDoubled: boolean): void {
    const { weather, counts, loss, delay, duplicate } = this.#sky;
    const isLost = isHit(loss, weather.lossPerMille);
    const isDelayed = isHit(delay, weather.delayPerMille);
    const isDoubled = mayBeDoubled && isHit(duplicate, weather.duplicatePerMille);
    if (isLost) this.#isPassed = false;
    else if (isDelayed) {
      counts.delayed++;
      this.#isPassed = false;
      this.#copyLater(between(delay, 0, weather.delayMsMax));
    } else if (isDoubled) {
      counts.duplicated++;
      this.#copyLater(between(duplicate, 0, Math.max(weather.delayMsMax, weather.latencyMsMax)));
    }
  }

  #copyLater(lateMs: number): void {
    this.#copy = new Uint8Array(this.#left);
    this.#copied = 0;
    this.#lateMs = lateMs;
  }

  #keepCopy(bytes: Bytes, at: number, count: number): void {
    const copy = this.#copy;
    if (copy === undefined || count === 0) return;
    copy.set(bytes.subarray(at, at + count), this.#copied);
    this.#copied += count;
    if (this.#copied < copy.length) return;
    this.#copy = undefined;
    this.#late(copy, this.#lateMs);
  }
}

/** A body that claims more than this is none. */
const rawBytesMin = 64 * 1024 * 1024;

function isHit(prng: Prng, perMille: number): boolean {
  return perMille > 0 && prng.chance(perMille, 1000);
}
