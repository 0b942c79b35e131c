import { expect, test } from "bun:test";
import { formatAddress, parseAddress } from "../../src/config/address.ts";
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

test("an address is a host and a port, IPv6 in brackets", () => {
  const good: [string, string, number][] = [
    ["127.0.0.1:5001", "127.0.0.1", 5001],
    ["db-1.example:65535", "db-1.example", 65_535],
    ["localhost:1", "localhost", 1],
    ["[::1]:5001", "::1", 5001],
    ["[2001:db8::7]:80", "2001:db8::7", 80],
    ["[1:2:3:4:5:6:7:8]:80", "1:2:3:4:5:6:7:8", 80],
    ["[::ffff:10.0.0.1]:80", "::ffff:10.0.0.1", 80],
    ["[fe80::1%eth0]:80", "fe80::1%eth0", 80],
    ["[::]:80", "::", 80],
  ];
  for (const [text, host, port] of good) {
    expect([text, parseAddress(text)]).toEqual([text, { host, port }]);
    expect(formatAddress({ host, port })).toBe(text);
  }
  const bad = [
    "",
    "a",
    "a:",
    ":5001",
    "a:0",
    "a:65536",
    "a:x",
    "a b:1",
    "::1:5001",
    "[::1]",
    "[a]:1",
    "127.0.0.256:1",
  ];
  bad.push(
    "1.2.3:1",
    "-a:1",
    "a..b:1",
    "[1:2]:1",
    "[1::2::3]:1",
    "[1:2:3:4:5:6:7:8:9]:1",
    "[:1:2:3:4:5:6:7:8]:1",
  );
  bad.push(
    "a:1:2",
    "http://a:1",
    "[::1]:5001x",
    `${"a".repeat(64)}:1`,
    "[:]:1",
    "[12345::]:1",
    "[::10.0.0.300]:1",
  );
  for (const text of bad) expect([text, parseAddress(text)]).toEqual([text, undefined]);
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
