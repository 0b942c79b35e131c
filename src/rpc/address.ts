import { KvraftError } from "../lib/error.ts";

/** Where a node listens. `host` is a name or an address, an IPv6 address without its brackets. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Reads `host:port`, `1.2.3.4:port` or `[v6]:port`; throws a KvraftError (INVALID_ARGUMENT) that says what is wrong. */
export function parseAddress(text: string): Address {
  const bad = (why: string) =>
    new KvraftError("INVALID_ARGUMENT", `Cannot use address ${JSON.stringify(text)}: ${why}`);
  const split = /^\[([^[\]]*)\]:(.*)$/s.exec(text) ?? /^([^:]*):([^:]*)$/s.exec(text);
  if (split === null) {
    const isBare6 = (text.match(/:/g)?.length ?? 0) > 1;
    throw bad(
      isBare6 ? "put an IPv6 address in brackets, as in [::1]:5001" : "write host:port, as in 127.0.0.1:5001",
    );
  }
  const [, host = "", portText = ""] = split;
  const isV6 = text.startsWith("[");
  if (host === "") throw bad("the host is empty; write host:port, as in 127.0.0.1:5001");
  if (isV6 && !/^[0-9a-fA-F:.]+(%[\w.-]+)?$/.test(host)) throw bad("no IPv6 address stands in the brackets");
  if (!isV6 && !/^[A-Za-z0-9._-]+$/.test(host)) throw bad("the host holds characters that no host name has");
  const port = /^[0-9]{1,5}$/.test(portText) ? Number(portText) : 0;
  if (port < 1 || port > 65_535)
    throw bad(`the port is ${JSON.stringify(portText)}, it must be from 1 to 65535`);
  return { host, port };
}

/** The inverse of parseAddress. */
export function formatAddress(address: Address): string {
  return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}
