/**
 * Command lines of the prompt, as redis-cli reads them. A line is bytes, because keys and values are.
 *
 *     line   := blank* (word (blank+ word)*)? blank*
 *     word   := part+                    a closing quote ends the word
 *     part   := plain | '"' (escape | byte)* '"' | "'" ("\'" | byte)* "'"
 *     escape := "\x" hex hex | "\n" | "\r" | "\t" | "\b" | "\a" | "\\" | "\" byte
 *
 * Example: `put "a b" 'c"d' "\x00\n"` is the four words `put`, `a b`, `c"d` and the bytes 00 0A.
 */
import { type Bytes, fromUtf8Strict, toHex } from "../lib/bytes.ts";

/** The words of a line, or what is wrong with it. */
export type Split =
  | { readonly ok: true; readonly words: Bytes[] }
  | { readonly ok: false; readonly problem: string };

const backslash = 0x5c;
const doubleQuote = 0x22;
const singleQuote = 0x27;

const byteByEscape = new Map([
  [0x6e, 0x0a], // n
  [0x72, 0x0d], // r
  [0x74, 0x09], // t
  [0x62, 0x08], // b
  [0x61, 0x07], // a
]);

export function splitWords(line: Bytes): Split {
  const words: Bytes[] = [];
  let at = 0;
  for (;;) {
    while (at < line.length && isBlank(line[at]!)) at++;
    if (at === line.length) return { ok: true, words };
    const word: number[] = [];
    while (at < line.length && !isBlank(line[at]!)) {
      const byte = line[at]!;
      if (byte !== doubleQuote && byte !== singleQuote) {
        word.push(byte);
        at++;
        continue;
      }
      at = readQuoted(line, at, word);
      if (at > line.length)
        return { ok: false, problem: `the quote ${String.fromCharCode(byte)} is not closed` };
      if (at < line.length && !isBlank(line[at]!))
        return { ok: false, problem: "a closing quote must be followed by a space" };
    }
    words.push(new Uint8Array(word));
  }
}

/** Reads from the opening quote on; returns where it goes on, beyond the end of the line without a closing quote. */
function readQuoted(line: Bytes, start: number, word: number[]): number {
  const quote = line[start]!;
  let at = start + 1;
  while (at < line.length && line[at] !== quote) {
    const next = line[at + 1];
    if (line[at] !== backslash || next === undefined || (quote === singleQuote && next !== singleQuote)) {
      word.push(line[at++]!);
      continue;
    }
    const digits = String.fromCharCode(line[at + 2] ?? 0, line[at + 3] ?? 0);
    if (quote === doubleQuote && next === 0x78 && /^[0-9a-fA-F]{2}$/.test(digits)) {
      word.push(Number.parseInt(digits, 16));
      at += 4;
      continue;
    }
    word.push(quote === doubleQuote ? (byteByEscape.get(next) ?? next) : next);
    at += 2;
  }
  return at + 1;
}

function isBlank(byte: number): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d;
}

/** Bytes as a person sees them: text as it is when a terminal can show it, otherwise quoted with escapes. */
export function showBytes(bytes: Bytes): string {
  const text = fromUtf8Strict(bytes);
  return text !== undefined && !unprintable.test(text) ? text : quoteWord(bytes);
}

/** A word that `splitWords` reads back as these bytes; quoted only where it must be. */
export function quoteWord(bytes: Bytes): string {
  const text = fromUtf8Strict(bytes);
  if (text !== undefined && text !== "" && !unprintable.test(text) && !/[\s"'\\]/.test(text)) return text;
  if (text !== undefined) return `"${[...text].map(escapeCharacter).join("")}"`;
  const escaped = Array.from(bytes, (byte) =>
    byte < 0x80 ? escapeCharacter(String.fromCharCode(byte)) : escapeByte(byte),
  );
  return `"${escaped.join("")}"`;
}

/**
 * Controls, line separators and marks that turn the direction of writing. Shown as they are, they would let a value
 * move the cursor, clear the screen or display as another value.
 */
const unprintable = /[\p{Cc}\p{Zl}\p{Zp}\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/u;

const escapeByCharacter = new Map([
  ['"', '\\"'],
  ["\\", "\\\\"],
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
]);

function escapeCharacter(character: string): string {
  const escaped = escapeByCharacter.get(character);
  if (escaped !== undefined) return escaped;
  return unprintable.test(character) ? Array.from(Buffer.from(character), escapeByte).join("") : character;
}

function escapeByte(byte: number): string {
  return `\\x${toHex(Uint8Array.of(byte))}`;
}
