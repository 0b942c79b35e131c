import { type Bytes, fromHex, fromUtf8, fromUtf8Strict, toHex } from "../lib/bytes.ts";
import { KvraftError } from "../lib/error.ts";
import { bytesOfArgument } from "./arguments.ts";
import type { Encoding } from "./context.ts";

/** The bytes an argument stands for; digits that are none of the encoding's are a KvraftError (USAGE). */
export function decodeArgument(text: string, encoding: Encoding, what: string): Bytes {
  if (encoding === "bytes") return plainBytes(text, what);
  const bytes = encoding === "hex" ? fromHex(text) : fromBase64(text);
  if (bytes !== undefined) return bytes;
  const shown = JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
  const digits = encoding === "hex" ? "hexadecimal digits, two a byte" : "base64 digits, padded with =";
  throw new KvraftError("USAGE", `Cannot read the ${what} ${shown} with --${encoding}: wanted ${digits}`);
}

function plainBytes(text: string, what: string): Bytes {
  const bytes = bytesOfArgument(text);
  if (bytes !== undefined) return bytes;
  throw new KvraftError(
    "USAGE",
    `Cannot read the ${what}: it seems to hold bytes that are no UTF-8 text, and this system does not tell them; ` +
      "write it with --hex or --base64" +
      (what === "value" ? ", or give it on stdin" : ""),
  );
}

/** The bytes that a file or stdin stands for: as they are, or, in an encoding, with white space between the digits. */
export function decodeContent(content: Bytes, encoding: Encoding, what: string): Bytes {
  return encoding === "bytes"
    ? content
    : decodeArgument(fromUtf8(content).replaceAll(/\s/g, ""), encoding, what);
}

/** Bytes as they are printed: themselves, or their digits. */
export function encodeOutput(bytes: Bytes, encoding: Encoding): string | Bytes {
  if (encoding === "bytes") return bytes;
  return encoding === "hex" ? toHex(bytes) : toBase64(bytes);
}

/**
 * A member of a JSON object. Its name says how to read it: `value` is text, `valueHex` and `valueBase64` are digits.
 * Without --hex or --base64, bytes that are no UTF-8 come as base64, for JSON has text alone.
 */
export function jsonField(name: string, bytes: Bytes, encoding: Encoding): Record<string, string> {
  if (encoding === "hex") return { [`${name}Hex`]: toHex(bytes) };
  const text = encoding === "bytes" ? fromUtf8Strict(bytes) : undefined;
  return text === undefined ? { [`${name}Base64`]: toBase64(bytes) } : { [name]: text };
}

/** An object on a line of its own. */
export function jsonLine(object: unknown): string {
  return `${JSON.stringify(object)}\n`;
}

function toBase64(bytes: Bytes): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64");
}

/** Strict, because Buffer skips what it does not understand, and a typing error would become another key. */
function fromBase64(text: string): Bytes | undefined {
  const bytes = new Uint8Array(Buffer.from(text, "base64"));
  return toBase64(bytes) === text ? bytes : undefined;
}
