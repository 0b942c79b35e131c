import { expect, test } from "bun:test";
import { formatAddress, parseAddress } from "../../src/lib/address.ts";

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
