import { expect, test } from "bun:test";
import { suggest } from "../../src/config/suggest.ts";
import { formatDuration, formatSize, parseDuration, parseSize } from "../../src/config/units.ts";

test("durations are numbers of milliseconds, or numbers with a unit", () => {
  const golden: [string, number | undefined][] = [
    ["50ms", 50],
    ["5s", 5000],
    ["1m", 60_000],
    ["1h", 3_600_000],
    ["250", 250],
    ["0", 0],
    ["1.5s", 1500],
    ["4.1s", 4100],
    ["2 s", 2000],
    [" 2s ", 2000],
    ["1.5ms", undefined],
    ["-5s", undefined],
    ["5S", undefined],
    ["5 days", undefined],
    ["1e3", undefined],
    ["", undefined],
    ["ms", undefined],
    ["Infinity", undefined],
    ["9".repeat(30), undefined],
  ];
  for (const [text, ms] of golden) expect([text, parseDuration(text)]).toEqual([text, ms]);
});

test("sizes are numbers of bytes, or numbers with a binary unit", () => {
  const golden: [string, number | undefined][] = [
    ["65536", 65_536],
    ["64KiB", 65_536],
    ["8MiB", 8 * 1024 ** 2],
    ["0.5GiB", 512 * 1024 ** 2],
    ["10B", 10],
    ["8MB", undefined],
    ["8mib", undefined],
    ["0.3KiB", undefined],
    ["-1", undefined],
  ];
  for (const [text, bytes] of golden) expect([text, parseSize(text)]).toEqual([text, bytes]);
});

test("a formatted duration or size is read back as the same number", () => {
  for (const value of [
    0,
    1,
    50,
    999,
    1000,
    1024,
    1500,
    60_000,
    65_536,
    90_000,
    3_600_000,
    8 * 1024 ** 2,
    2 ** 40,
  ]) {
    expect(parseDuration(formatDuration(value))).toBe(value);
    expect(parseSize(formatSize(value))).toBe(value);
  }
  expect([formatDuration(5000), formatDuration(1500), formatSize(65_536), formatSize(0)]).toEqual([
    "5s",
    "1500ms",
    "64KiB",
    "0B",
  ]);
});

test("a slip of the pen finds the word that was meant, something else finds none", () => {
  const words = ["get", "put", "delete", "status", "server", "version"];
  const golden: [string, string | undefined][] = [
    ["gte", "get"],
    ["pu", "put"],
    ["detele", "delete"],
    ["stat", "status"],
    ["Server", "server"],
    ["servr", "server"],
    ["remove", undefined],
    ["x", undefined],
    ["", undefined],
  ];
  for (const [word, meant] of golden) expect([word, suggest(word, words)]).toEqual([word, meant]);
});
