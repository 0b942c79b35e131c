import { expect, test } from "bun:test";
import { formatAddress, parseAddress } from "../../src/rpc/address.ts";

test("addresses are read and printed back", () => {
  for (const [text, host, port] of [
    ["127.0.0.1:5001", "127.0.0.1", 5001],
    ["node-1.example.org:1", "node-1.example.org", 1],
    ["[::1]:65535", "::1", 65_535],
    ["[fe80::1%eth0]:80", "fe80::1%eth0", 80],
  ] as const) {
    expect(parseAddress(text)).toEqual({ host, port });
    expect(formatAddress({ host, port })).toBe(text);
  }
});

test("what is no address is refused with the reason", () => {
  const why = (text: string) => {
    try {
      parseAddress(text);
      return "accepted";
    } catch (error) {
      return (error as Error).message;
    }
  };
  expect(why("localhost")).toBe('Cannot use address "localhost": write host:port, as in 127.0.0.1:5001');
  expect(why("::1:5001")).toBe(
    'Cannot use address "::1:5001": put an IPv6 address in brackets, as in [::1]:5001',
  );
  expect(why(":5001")).toBe(
    'Cannot use address ":5001": the host is empty; write host:port, as in 127.0.0.1:5001',
  );
  for (const port of ["", "0", "65536", "-1", "5e3", "80 ", "123456"])
    expect(why(`h:${port}`)).toBe(
      `Cannot use address "h:${port}": the port is "${port}", it must be from 1 to 65535`,
    );
  expect(why("a b:1")).toContain("characters that no host name has");
  expect(why("http://h:1")).toContain("Cannot use address");
  expect(why("[h]:1")).toContain("no IPv6 address");
});
