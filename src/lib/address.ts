/**
 * Where a server listens. In text:
 *
 *     address := host ":" port | "[" ipv6 "]" ":" port
 *     port    := 1 to 65535 in decimal digits
 *
 * Example: `db1.example:5001`, `127.0.0.1:5001`, `[::1]:5001`.
 */
export interface Address {
  /** An IP address (IPv6 without brackets) or a host name. */
  readonly host: string;
  readonly port: number;
}

/** The address a text names, or undefined when it names none. Every part is checked, nothing is resolved. */
export function parseAddress(text: string): Address | undefined {
  const bracketed = /^\[([^\]]*)\]:(\d{1,5})$/.exec(text);
  const plain = /^([^:[\]]+):(\d{1,5})$/.exec(text);
  const [, host, digits] = bracketed ?? plain ?? [];
  if (host === undefined || digits === undefined) return undefined;
  const isHost = bracketed ? isIpv6(host) : isHostName(host);
  const port = Number(digits);
  return isHost && isPort(port) ? { host, port } : undefined;
}

/** The text of an address, which `parseAddress` reads back. */
export function formatAddress(address: Address): string {
  return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** True for the text of an IP address of either kind and for a host name. */
export function isHost(text: string): boolean {
  return text.includes(":") ? isIpv6(text) : isHostName(text);
}

/** True for a port that another process can be told: 0, "any free port", is none. */
export function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65_535;
}

/** Labels of letters, digits, `-` and `_`. What looks like an IPv4 address must be one, so that 127.0.0.256 is caught. */
function isHostName(text: string): boolean {
  if (/^[\d.]+$/.test(text)) return isIpv4(text);
  if (text.length > 253) return false;
  return text.split(".").every((label) => /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i.test(label));
}

function isIpv4(text: string): boolean {
  const parts = text.split(".");
  return parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255);
}

/** Eight groups, or fewer around one `::`; the last two may be an IPv4 address, and a zone (`%eth0`) may follow. */
function isIpv6(text: string): boolean {
  const [, body = "", tail] =
    /^([0-9a-fA-F:]*:)?((?:\d+\.){3}\d+|[0-9a-fA-F]{0,4})(?:%[\w.-]+)?$/.exec(text) ?? [];
  if (tail === undefined || body === "") return false;
  const hasIpv4 = tail.includes(".");
  if (hasIpv4 && !isIpv4(tail)) return false;
  const sides = (hasIpv4 ? `${body}0:0` : body + tail).split("::");
  if (sides.length > 2) return false;
  const groups = sides.flatMap((side) => (side === "" ? [] : side.split(":")));
  if (!groups.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return false;
  return sides.length === 2 ? groups.length <= 7 : groups.length === 8;
}
