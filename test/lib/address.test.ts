import { expect, test } from "bun:test";
import {
  formatAddress,
  isAnyHost,
  parseAddress,
  parseFindableAddress,
  placeOf,
} from "../../src/lib/address.ts";

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

test("of several spellings of one host there is one", () => {
  const spellings: [string, string][] = [
    ["DB-1.Example:5001", "db-1.example:5001"],
    ["[0:0:0:0:0:0:0:1]:5001", "[::1]:5001"],
    ["[::0001]:5001", "[::1]:5001"],
    ["[2001:DB8:0:0:1:0:0:1]:5001", "[2001:db8::1:0:0:1]:5001"],
    ["[1:0:0:2:0:0:0:3]:5001", "[1:0:0:2::3]:5001"],
    ["[1:0:2:3:4:5:6:7]:5001", "[1:0:2:3:4:5:6:7]:5001"],
    ["[::ffff:a00:1]:5001", "[::ffff:10.0.0.1]:5001"],
    ["[1:2:3:4:5:6:7::]:5001", "[1:2:3:4:5:6:7:0]:5001"],
  ];
  for (const [text, wanted] of spellings) expect(formatAddress(parseAddress(text)!)).toBe(wanted);
});

test("two texts for one place are known as one", () => {
  const place = (text: string) => placeOf(parseAddress(text)!);
  expect(place("[::ffff:127.0.0.1]:5001")).toBe(place("127.0.0.1:5001"));
  expect(place("LocalHost:5001")).toBe(place("127.0.0.1:5001"));
  expect(place("127.0.0.1:5002")).not.toBe(place("127.0.0.1:5001"));
});

test("nobody is found at the any-address, however it is written", () => {
  for (const text of [
    "0.0.0.0",
    "[::]",
    "[::0]",
    "[0:0:0:0:0:0:0:0]",
    "[::0.0.0.0]",
    "[::ffff:0.0.0.0]",
    "[::%eth0]",
  ]) {
    expect([text, parseAddress(`${text}:5001`)]).not.toEqual([text, undefined]);
    expect([text, parseFindableAddress(`${text}:5001`)]).toEqual([text, undefined]);
    expect(isAnyHost(text.replaceAll(/[[\]]/g, ""))).toBe(true);
  }
  // Systems read these as IPv4 addresses.
  for (const text of ["0", "00", "000.0.0.0", "0x0", "0X00", "0x0.0", "0.0x0", "127.1", "0x7f.1", "a.0x7f"])
    expect([text, parseAddress(`${text}:5001`)]).toEqual([text, undefined]);
  for (const text of ["[::1]:1", "10.0.0.0:1", "0.example:1", "x0:1"])
    expect(parseFindableAddress(text)).toBeDefined();
});
