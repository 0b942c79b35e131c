import { type Bytes, concatBytes, emptyBytes } from "../lib/bytes.ts";
import { KvraftError } from "../lib/error.ts";
import type { Input } from "./context.ts";

/** Twice the largest value a server can be configured for, which is what its hexadecimal digits take, and some room. */
const inputBytesMax = 130 * 1024 * 1024;

const lineFeed = 0x0a;

/** Everything from now to the end of the input. */
export async function readAll(input: Input): Promise<Bytes> {
  const chunks: Bytes[] = [];
  let length = 0;
  for await (const chunk of input.chunks()) {
    length += chunk.length;
    checkLength(length, "value on stdin");
    chunks.push(chunk);
  }
  return concatBytes(chunks);
}

/** The lines of the input without their line feeds; an unfinished last line counts. */
export async function* readLines(input: Input): AsyncGenerator<Bytes> {
  let parts: Bytes[] = [];
  let length = 0;
  for await (const chunk of input.chunks()) {
    let start = 0;
    for (let end = chunk.indexOf(lineFeed); end !== -1; end = chunk.indexOf(lineFeed, start)) {
      yield concatBytes([...parts, chunk.subarray(start, end)]);
      parts = [];
      length = 0;
      start = end + 1;
    }
    parts.push(start === 0 ? chunk : chunk.subarray(start));
    length += chunk.length - start;
    checkLength(length, "line on stdin");
  }
  const last = parts.length === 0 ? emptyBytes : concatBytes(parts);
  if (last.length > 0) yield last;
}

function checkLength(length: number, what: string): void {
  if (length > inputBytesMax)
    throw new KvraftError(
      "INVALID_ARGUMENT",
      `The ${what} is longer than ${inputBytesMax} bytes, the most that is read`,
    );
}
