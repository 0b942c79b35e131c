/**
 * The arguments of this process as they were given. They are bytes, and a string holds text: what is no UTF-8 would become
 * U+FFFD, so that many keys became one. Such a byte is kept in the string as the code unit U+DC00 + byte, a half of a
 * surrogate pair that stands alone, as no text has it; so text stays what it is, and every byte can be had back.
 *
 *     argument = (character | escaped)*      escaped = U+DC80 ... U+DCFF for the bytes 80 ... FF
 *
 * Example: the bytes 6B FF are the string `k` U+DCFF. Where the bytes cannot be read, U+D800 stands for what is not known.
 */
import { readFileSync } from "node:fs";
import { type Bytes, concatBytes, emptyBytes, fromUtf8, fromUtf8Strict, toUtf8 } from "../lib/bytes.ts";

const replacement = "\ufffd";
const unknown = "\ud800";
const escapeBase = 0xdc00;
/** The most bytes that a character has in UTF-8. */
const characterBytesMax = 4;

/** `args` are the arguments as the runtime decoded them, the last ones of this process. */
export function processArguments(args: readonly string[]): string[] {
  // The usual case costs nothing.
  if (!args.some((text) => text.includes(replacement))) return [...args];
  return exactArguments(args, commandLine());
}

/** The same, from the bytes of the whole command line: each argument with a zero byte behind it. Undefined: not known. */
export function exactArguments(args: readonly string[], line: Bytes | undefined): string[] {
  const given = line === undefined ? [] : splitLine(line).slice(-args.length);
  return args.map((text, at) => {
    if (!text.includes(replacement)) return text;
    const bytes = given[at];
    if (bytes !== undefined && given.length === args.length && looksLike(fromUtf8(bytes), text))
      return escapeBytes(bytes);
    return text.replaceAll(replacement, unknown);
  });
}

/** Bytes as text in which every byte that is no part of a character is escaped. */
export function escapeBytes(bytes: Bytes): string {
  const whole = fromUtf8Strict(bytes);
  if (whole !== undefined) return whole;
  let text = "";
  for (let at = 0; at < bytes.length; ) {
    const character = characterAt(bytes, at);
    text += character ?? String.fromCharCode(escapeBase + bytes[at]!);
    at += character === undefined ? 1 : toUtf8(character).length;
  }
  return text;
}

/** The bytes that an argument stands for, or undefined when they are not known. */
export function bytesOfArgument(argument: string): Bytes | undefined {
  if (argument.isWellFormed()) return toUtf8(argument);
  const parts: Bytes[] = [];
  for (const character of argument) {
    const unit = character.charCodeAt(0);
    const isEscaped = character.length === 1 && unit >= escapeBase + 0x80 && unit <= escapeBase + 0xff;
    if (!isEscaped && !character.isWellFormed()) return undefined;
    parts.push(isEscaped ? Uint8Array.of(unit - escapeBase) : toUtf8(character));
  }
  return parts.length === 0 ? emptyBytes : concatBytes(parts);
}

/** Linux tells; other systems do not, in any way that needs no code of their own. */
function commandLine(): Bytes | undefined {
  try {
    return readFileSync("/proc/self/cmdline");
  } catch {
    return undefined;
  }
}

function splitLine(line: Bytes): Bytes[] {
  const parts: Bytes[] = [];
  let start = 0;
  for (let end = line.indexOf(0); end !== -1; end = line.indexOf(0, start)) {
    parts.push(line.subarray(start, end));
    start = end + 1;
  }
  return parts;
}

/** Decoders differ in how many U+FFFD they put for bytes that belong together. */
function looksLike(text: string, other: string): boolean {
  const brief = (each: string) => each.replaceAll(/\ufffd+/g, replacement);
  return brief(text) === brief(other);
}

/** The character that begins at this byte, unless none does. */
function characterAt(bytes: Bytes, at: number): string | undefined {
  for (let length = 1; length <= characterBytesMax && at + length <= bytes.length; length++) {
    const text = fromUtf8Strict(bytes.subarray(at, at + length));
    if (text !== undefined) return text;
  }
  return undefined;
}
