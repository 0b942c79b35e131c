import { expect, test } from "bun:test";
import { bytesOfArgument, escapeBytes, exactArguments } from "../../src/cli/arguments.ts";
import { Prng } from "../../src/env/prng.ts";
import { concatBytes, fromUtf8, toHex, toUtf8 } from "../../src/lib/bytes.ts";

// Goal: an argument is the bytes that were given, whatever they are, or the command refuses it.

/** A command line as Linux tells it. */
function lineOf(...args: readonly Uint8Array[]): Uint8Array {
  return concatBytes(args.flatMap((arg) => [arg, Uint8Array.of(0)]));
}

test("every argument's bytes are had back, text stays text, and no two arguments become one", () => {
  const seed = Number(process.env["SEED"] ?? 1);
  const prng = new Prng(seed);
  const found = new Map<string, string>();
  for (let run = 0; run < 5000; run++) {
    const bytes = Uint8Array.from({ length: prng.int(0, 6) }, () =>
      prng.pick([
        0x41, 0x7f, 0x80, 0xbf, 0xc3, 0xa4, 0xe2, 0x82, 0xac, 0xed, 0xa0, 0xef, 0xbf, 0xbd, 0xf0, 0x9f, 0x98,
        0xff,
      ]),
    );
    const text = `SEED=${seed} ${toHex(bytes)}`;
    const escaped = escapeBytes(bytes);
    expect(toHex(bytesOfArgument(escaped)!), text).toBe(toHex(bytes));
    expect(escaped.isWellFormed(), text).toBe(escaped === fromUtf8(bytes));
    expect(found.get(escaped) ?? toHex(bytes), text).toBe(toHex(bytes));
    found.set(escaped, toHex(bytes));
  }
});

test("the bytes of the command line take the place of what was decoded with U+FFFD", () => {
  const bytes = [
    Uint8Array.of(0x6b, 0xff),
    new Uint8Array(0),
    toUtf8("\ufffd"),
    toUtf8("ä\n"),
    Uint8Array.of(0xf0, 0x9f),
  ];
  const args = bytes.map((each) => fromUtf8(each));
  for (const before of [[toUtf8("kvraft")], [toUtf8("bun"), toUtf8("--flag"), toUtf8("main.ts")]]) {
    const exact = exactArguments(args, lineOf(...before, ...bytes));
    expect(exact.map((each) => toHex(bytesOfArgument(each)!))).toEqual(bytes.map((each) => toHex(each)));
  }
});

test("an argument whose bytes cannot be told is known to be unknown: on another system, or when the line is not its own", () => {
  const args = ["a\ufffd", "b"];
  for (const line of [undefined, lineOf(toUtf8("b")), lineOf(toUtf8("kvraft"), toUtf8("x"), toUtf8("b"))]) {
    const exact = exactArguments(args, line);
    expect(bytesOfArgument(exact[0]!)).toBeUndefined();
    expect(exact[1]).toBe("b");
  }
});
