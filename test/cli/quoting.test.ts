import { describe, expect, test } from "bun:test";
import { quoteWord, showBytes, splitWords } from "../../src/cli/quoting.ts";
import { Prng } from "../../src/env/prng.ts";
import { type Bytes, concatBytes, fromUtf8, toHex, toUtf8 } from "../../src/lib/bytes.ts";

const { SEED = "20260102" } = process.env;
const seed = Number(SEED);

/** The words of a line in hexadecimal, or the problem. */
function split(line: Bytes): string[] | string {
  const result = splitWords(line);
  return result.ok ? result.words.map(toHex) : result.problem;
}

const hex = (...words: string[]) => words.map((word) => toHex(toUtf8(word)));

describe("splitting a line", () => {
  const golden: [line: string, words: string[] | string][] = [
    ["", []],
    [" \t\r\n", []],
    ["get key", hex("get", "key")],
    ["  put   a\tb  \r", hex("put", "a", "b")],
    ['put "a b" c', hex("put", "a b", "c")],
    ["put 'a \"b' c", hex("put", 'a "b', "c")],
    [String.raw`put 'it\'s' '\n\x41'`, hex("put", "it's", "\\n\\x41")],
    [String.raw`"\n\r\t\b\a\\\"\q"`, hex('\n\r\t\b\x07\\"q')],
    [String.raw`"\x00\xfF\x4"`, ["00ff7834"]],
    ["\"\" ''", ["", ""]],
    ['a"b c"', hex("ab c")],
    ["a\\b", hex("a\\b")],
    ["grüße 🙂", hex("grüße", "🙂")],
    ['"open', 'the quote " is not closed'],
    ["'open", "the quote ' is not closed"],
    ['"open\\"', 'the quote " is not closed'],
    ['"a"b', "a closing quote must be followed by a space"],
    ["'a''b'", "a closing quote must be followed by a space"],
  ];
  for (const [line, words] of golden)
    test(JSON.stringify(line), () => {
      expect(split(toUtf8(line))).toEqual(words);
    });

  test("keeps bytes that are no UTF-8", () => {
    expect(split(Uint8Array.of(0x61, 0x20, 0xff, 0xfe))).toEqual(["61", "fffe"]);
  });
});

test("a quoted word is split into the same bytes again", () => {
  const prng = new Prng(seed);
  const special = toUtf8(" \"'\\\n\r\tx0nü\u202e");
  for (let round = 0; round < 5000; round++) {
    const words = Array.from({ length: prng.int(1, 4) }, () =>
      Uint8Array.from({ length: prng.int(0, 12) }, () =>
        prng.chance(1, 2) ? prng.pick([...special]) : prng.int(0, 255),
      ),
    );
    const line = words.map(quoteWord).join(" ");
    expect([`SEED=${seed} round ${round}: ${line}`, split(toUtf8(line))]).toEqual([
      `SEED=${seed} round ${round}: ${line}`,
      words.map(toHex),
    ]);
  }
});

test("splitting any bytes ends in words or a problem, and words come from the line", () => {
  const prng = new Prng(seed + 1);
  for (let round = 0; round < 5000; round++) {
    const line = Uint8Array.from({ length: prng.int(0, 30) }, () =>
      prng.pick([0x20, 0x22, 0x27, 0x5c, 0x78, 0x30, 0xff]),
    );
    const result = splitWords(line);
    const length = result.ok ? concatBytes(result.words).length : 0;
    expect(length <= line.length || `SEED=${seed} ${toHex(line)}`).toBe(true);
  }
});

test("a terminal is shown text as it is, and what it could not show quoted", () => {
  const golden: [Bytes, string][] = [
    [toUtf8("hello, world"), "hello, world"],
    [toUtf8("grüße 🙂 👨‍👩‍👧"), "grüße 🙂 👨‍👩‍👧"],
    [toUtf8('say "hi"'), 'say "hi"'],
    [toUtf8(""), ""],
    [toUtf8("two\nlines"), String.raw`"two\nlines"`],
    [toUtf8("\x1b[2J"), String.raw`"\x1b[2J"`],
    [toUtf8("a\u202eb"), String.raw`"a\xe2\x80\xaeb"`],
    [Uint8Array.of(0, 0x41, 0xff), String.raw`"\x00A\xff"`],
  ];
  for (const [bytes, shown] of golden) expect(showBytes(bytes)).toBe(shown);
  expect(fromUtf8(toUtf8(quoteWord(toUtf8(""))))).toBe('""');
});
