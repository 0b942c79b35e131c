/** Random bytes, and valid ones made slightly wrong: what every fuzzer of bytes begins with. */
import type { Prng } from "../../src/env/prng.ts";
import { type Bytes, concatBytes, copyBytes, emptyBytes } from "../../src/lib/bytes.ts";
import { ByteWriter } from "../../src/lib/codec.ts";

const twoTo32 = 0x1_0000_0000;

/** Numbers next to a place where something changes: widths, varint lengths, signs, the limits of the wire. */
const interestingNumbers = [
  0,
  1,
  2,
  127,
  128,
  255,
  256,
  4095,
  4096,
  16_383,
  16_384,
  65_535,
  65_536,
  2 ** 24,
  24 * 1024 * 1024,
  24 * 1024 * 1024 + 1,
  64 * 1024 * 1024,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 48,
  2 ** 49,
  Number.MAX_SAFE_INTEGER - 1,
  Number.MAX_SAFE_INTEGER,
];

/** A non-negative safe integer: small, next to a limit, or anything. */
export function randomNumber(prng: Prng): number {
  const dice = prng.int(1, 4);
  if (dice === 1) return prng.pick(interestingNumbers);
  if (dice === 2) return prng.int(0, 20);
  if (dice === 3) return prng.u32();
  return prng.int(0, 0x1f_ffff) * twoTo32 + prng.u32();
}

export function randomBytes(prng: Prng, lengthMax: number): Bytes {
  const bytes = new Uint8Array(prng.int(0, lengthMax));
  for (let at = 0; at < bytes.length; at++) bytes[at] = prng.u32();
  return bytes;
}

/** A text of letters, and now and then of what is no letter. */
export function randomText(prng: Prng, lengthMax: number): string {
  let text = "";
  for (let length = prng.int(0, lengthMax); length > 0; length--)
    text += prng.chance(1, 12)
      ? prng.pick(["\n", "\u0000", "ü", "🙂", "\u202e", '"', "\\", "\ufeff"])
      : String.fromCharCode(prng.int(0x20, 0x7e));
  return text;
}

export function randomId(prng: Prng): string {
  const half = (): string => prng.u32().toString(16).padStart(8, "0");
  return half() + half();
}

/** Up to three edits of one kind or another; `other` is what a splice takes its bytes from. */
export function mutate(prng: Prng, bytes: Bytes, other: Bytes = bytes): Bytes {
  let edited = copyBytes(bytes);
  for (let edits = prng.int(1, 3); edits > 0; edits--) edited = edit(prng, edited, other);
  return edited;
}

function edit(prng: Prng, bytes: Bytes, other: Bytes): Bytes {
  const from = prng.int(0, bytes.length);
  const to = Math.min(bytes.length, from + prng.int(0, prng.pick([2, 16, 600])));
  switch (prng.int(1, 9)) {
    case 1:
    case 2:
      return flip(prng, bytes);
    case 3:
      return bytes.subarray(0, from);
    case 4:
      return splice(bytes, from, to, emptyBytes);
    case 5:
      return splice(bytes, from, from, randomBytes(prng, prng.pick([2, 20, 200])));
    case 6:
      return splice(bytes, from, from, bytes.subarray(from, to));
    case 7:
      return splice(bytes, from, to, new Uint8Array(to - from));
    case 8: {
      const start = prng.int(0, other.length);
      return splice(bytes, from, to, other.subarray(start, prng.int(start, other.length)));
    }
    default:
      return overwrite(bytes, from, encodedNumber(prng));
  }
}

function flip(prng: Prng, bytes: Bytes): Bytes {
  if (bytes.length === 0) return bytes;
  const flipped = copyBytes(bytes);
  flipped[prng.int(0, bytes.length - 1)]! ^= 1 << prng.int(0, 7);
  return flipped;
}

/** The bytes with [from, to) replaced. */
export function splice(bytes: Bytes, from: number, to: number, by: Bytes): Bytes {
  return concatBytes([bytes.subarray(0, from), by, bytes.subarray(to)]);
}

/** The bytes with others written over them from `at` on, as far as they reach. */
export function overwrite(bytes: Bytes, at: number, by: Bytes): Bytes {
  const written = copyBytes(bytes);
  written.set(by.subarray(0, Math.max(0, bytes.length - at)), Math.min(at, bytes.length));
  return written;
}

function encodedNumber(prng: Prng): Bytes {
  const number = prng.pick(interestingNumbers);
  const writer = new ByteWriter();
  switch (prng.int(1, 4)) {
    case 1:
      writer.u8(number);
      break;
    case 2:
      writer.u32(number % twoTo32);
      break;
    case 3:
      writer.u53(number);
      break;
    default:
      writer.varint(number);
  }
  return writer.copy();
}

/** Nothing but chance, or one of the valid inputs, as it is or mutated. */
export function randomOrMutated(prng: Prng, valid: () => Bytes): Bytes {
  const dice = prng.int(1, 10);
  if (dice === 1) return randomBytes(prng, prng.pick([8, 100, 2000]));
  const bytes = valid();
  return dice === 2 ? bytes : mutate(prng, bytes, dice === 3 ? valid() : bytes);
}
