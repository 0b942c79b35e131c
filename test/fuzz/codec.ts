/** The codec itself: any reads of any bytes, beside a dumb reader; and what was written is read back. */
import { Prng } from "../../src/env/prng.ts";
import { type Bytes, fromUtf8, toHex } from "../../src/lib/bytes.ts";
import { crc32 } from "../../src/lib/checksum.ts";
import { ByteReader, ByteWriter, DecodeError } from "../../src/lib/codec.ts";
import { ensure, ensureEqual, type FuzzTarget, withinMemory } from "./fuzzer.ts";
import { randomBytes, randomId, randomNumber, randomOrMutated, randomText } from "./mutate.ts";

const kinds = ["u8", "u16", "u32", "u53", "varint", "bytes", "text", "id", "raw", "rest", "end"] as const;
type Kind = (typeof kinds)[number];

/** Reads the way the format says, byte by byte, with numbers that never round. Undefined for what must be refused. */
class DumbReader {
  readonly #bytes: Bytes;
  #at = 0;

  constructor(bytes: Bytes) {
    this.#bytes = bytes;
  }

  read(kind: Kind, most: number): unknown {
    switch (kind) {
      case "u8":
        return this.#fixed(1);
      case "u16":
        return this.#fixed(2);
      case "u32":
        return this.#fixed(4);
      case "u53":
        return this.#fixed(8);
      case "varint":
        return this.#varint();
      case "bytes":
        return this.#counted(most, toHex);
      case "text":
        return this.#counted(most, fromUtf8);
      case "id":
        return this.#take(8, toHex);
      case "raw":
        return this.#take(most, toHex);
      case "rest":
        return this.#take(this.#bytes.length - this.#at, toHex);
      case "end":
        return this.#at === this.#bytes.length ? "end" : undefined;
    }
  }

  #take(count: number, show: (bytes: Bytes) => unknown): unknown {
    if (this.#at + count > this.#bytes.length) return undefined;
    this.#at += count;
    return show(this.#bytes.subarray(this.#at - count, this.#at));
  }

  #fixed(count: number): number | undefined {
    let value = 0n;
    for (let place = 0; place < count; place++) {
      const byte = this.#bytes[this.#at + place];
      if (byte === undefined) return undefined;
      value |= BigInt(byte) << BigInt(8 * place);
    }
    this.#at += count;
    return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : undefined;
  }

  #varint(): number | undefined {
    let value = 0n;
    for (let place = 0; place < 8; place++) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) return undefined;
      value |= BigInt(byte & 0x7f) << BigInt(7 * place);
      if (byte < 0x80) return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : undefined;
    }
    return undefined;
  }

  #counted(most: number, show: (bytes: Bytes) => unknown): unknown {
    const length = this.#varint();
    return length === undefined || length > most ? undefined : this.#take(length, show);
  }
}

function readReally(reader: ByteReader, kind: Kind, most: number): unknown {
  switch (kind) {
    case "bytes":
      return toHex(reader.bytes(most));
    case "text":
      return reader.text(most);
    case "raw":
      return toHex(reader.raw(most));
    case "rest":
      return toHex(reader.rest());
    case "end":
      reader.end();
      return "end";
    default:
      return reader[kind]();
  }
}

/** Reads until something is refused; both readers refuse the same things, and agree on all the others. */
function check(input: Bytes): void {
  // What is read follows from the input, so that an input alone is the whole case.
  const plan = new Prng(crc32(input));
  const reader = new ByteReader(input);
  const dumb = new DumbReader(input);
  withinMemory(input.length, () => {
    for (let reads = 0; reads < 40; reads++) {
      const kind = plan.pick(kinds);
      const most =
        kind === "raw" ? plan.pick([0, 3, 40, 2 ** 31, 2 ** 32]) : plan.pick([0, 3, 40, 2 ** 53 - 1]);
      const wanted = dumb.read(kind, most);
      let found: unknown;
      try {
        found = readReally(reader, kind, most);
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error;
        ensure(
          wanted === undefined,
          `${kind} up to ${most} reads ${wanted}: refused with "${error.message}"`,
        );
        return;
      }
      ensureEqual(found, wanted, `${kind} up to ${most}`);
      ensure(reader.offset <= reader.limit, "a reader stays inside its range");
    }
  });
}

/** Writes values of every kind and reads them back. */
function roundTrip(prng: Prng): Bytes {
  const writer = new ByteWriter(prng.pick([0, 1, 256]));
  const reads: ((reader: ByteReader) => void)[] = [];
  const expect = (read: (reader: ByteReader) => unknown, wanted: unknown): void => {
    reads.push((reader) => ensureEqual(read(reader), wanted, "what was written is read back"));
  };
  for (let count = prng.int(1, 12); count > 0; count--) {
    const number = randomNumber(prng);
    const bytes = randomBytes(prng, 300);
    const text = randomText(prng, 60);
    const id = randomId(prng);
    writer.u8(number % 256);
    expect((reader) => reader.u8(), number % 256);
    writer.u16(number % 65_536);
    expect((reader) => reader.u16(), number % 65_536);
    writer.u32(number % 2 ** 32);
    expect((reader) => reader.u32(), number % 2 ** 32);
    writer.u53(number);
    expect((reader) => reader.u53(), number);
    writer.varint(number);
    expect((reader) => reader.varint(), number);
    writer.bytes(bytes);
    expect((reader) => toHex(reader.bytes()), toHex(bytes));
    writer.text(text);
    expect((reader) => reader.text(1000), text);
    writer.id(id);
    expect((reader) => reader.id(), id);
  }
  const written = writer.copy();
  const reader = new ByteReader(written);
  for (const read of reads) read(reader);
  reader.end();
  return written;
}

export const codecTarget: FuzzTarget = {
  name: "codec",
  check,
  run(prng, note) {
    const input = randomOrMutated(prng, () => roundTrip(prng));
    note(input);
    check(input);
  },
};
