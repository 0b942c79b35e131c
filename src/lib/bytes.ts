/** Byte strings: the only kind of key and value inside kvraft. Text exists at the edges, as UTF-8. */
export type Bytes = Uint8Array;

export const emptyBytes: Bytes = new Uint8Array(0);

const encoder = new TextEncoder();
const lenientDecoder = new TextDecoder("utf-8", { ignoreBOM: true });
const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Byte order (memcmp, shorter first on a tie): the order of keys everywhere in kvraft. */
export function compareBytes(a: Bytes, b: Bytes): number {
  return Buffer.compare(a, b);
}

export function equalBytes(a: Bytes, b: Bytes): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}

export function toUtf8(text: string): Bytes {
  return encoder.encode(text);
}

/** The text of bytes, with a byte order mark if there is one; what is no UTF-8 becomes U+FFFD. */
export function fromUtf8(bytes: Bytes): string {
  return lenientDecoder.decode(bytes);
}

/** The text of bytes, or undefined when they are no UTF-8. */
export function fromUtf8Strict(bytes: Bytes): string | undefined {
  try {
    return strictDecoder.decode(bytes);
  } catch {
    return undefined;
  }
}

export function toHex(bytes: Bytes): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
}

/** The bytes of hexadecimal text of either case, or undefined when it is none. */
export function fromHex(text: string): Bytes | undefined {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) return undefined;
  return new Uint8Array(Buffer.from(text, "hex"));
}

export function concatBytes(parts: readonly Bytes[]): Bytes {
  return new Uint8Array(Buffer.concat(parts));
}

const bufferCopy = Buffer.prototype.copy;

/**
 * Copies source[start, end) to `at` of the target, which has room for it. Without a view, which would cost more
 * than the copy.
 */
export function copyRange(source: Bytes, start: number, end: number, target: Bytes, at: number): void {
  bufferCopy.call(source as Buffer, target, at, start, end);
}

/** A copy that shares no memory with its source, so that a small value does not keep a large buffer alive. */
export function copyBytes(bytes: Bytes): Bytes {
  return new Uint8Array(bytes);
}

/**
 * The same bytes for whoever keeps them: a copy, when they are less than half of the chunk that they are a view of. What
 * came in one chunk with something large would else hold all of it. A small chunk costs less than a copy. (The chunk is an
 * argument, since to ask a view for its `buffer` makes an object of it, which costs more than most copies.)
 */
export function ownedBytes(bytes: Bytes, chunk: Bytes): Bytes {
  return chunk.length > smallChunkBytes && 2 * bytes.length < chunk.length ? copyBytes(bytes) : bytes;
}

const smallChunkBytes = 1024;
