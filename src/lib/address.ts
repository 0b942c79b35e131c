/**
 * Where a server listens. In text:
 *
 *     address := host ":" port | "[" ipv6 "]" ":" port
 *     port    := 1 to 65535 in decimal digits
 *
 * Example: `db1.example:5001`, `127.0.0.1:5001`, `[::1]:5001`.
 */
export interface Address {
  /** An IP address (IPv6 without brackets) or a host name, in its one spelling: see `canonicalHost`. */
  readonly host: string;
  readonly port: number;
}

/**
 * The address a text names, or undefined when it names none. Every part is checked, nothing is resolved; all spellings of
 * one host yield the same.
 */
export function parseAddress(text: string): Address | undefined {
  const bracketed = /^\[([^\]]*)\]:(\d{1,5})$/.exec(text);
  const plain = /^([^:[\]]+):(\d{1,5})$/.exec(text);
  const [, host, digits] = bracketed ?? plain ?? [];
  if (host === undefined || digits === undefined) return undefined;
  const isHost = bracketed ? isIpv6(host) : isHostName(host);
  const port = Number(digits);
  return isHost && isPort(port) ? { host: canonicalHost(host), port } : undefined;
}

/** As `parseAddress`, for an address at which others are to find somebody: the any-address is none. */
export function parseFindableAddress(text: string): Address | undefined {
  const address = parseAddress(text);
  return address === undefined || isAnyHost(address.host) ? undefined : address;
}

/** The text of an address, which `parseAddress` reads back. */
export function formatAddress(address: Address): string {
  return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** True for the text of an IP address of either kind and for a host name. */
export function isHost(text: string): boolean {
  return text.includes(":") ? isIpv6(text) : isHostName(text);
}

/** The one spelling of a host: names in small letters, IPv6 as RFC 5952 has it. */
export function canonicalHost(host: string): string {
  if (!host.includes(":")) return host.toLowerCase();
  const [address = "", zone] = host.split("%");
  return formatIpv6(ipv6Groups(address)) + (zone === undefined ? "" : `%${zone}`);
}

/** True for 0.0.0.0 and ::, however they are written: one can listen on them, and nobody is found there. */
export function isAnyHost(host: string): boolean {
  return ["0.0.0.0", "::", "::ffff:0.0.0.0"].includes(canonicalHost(host).replace(/%.*/, ""));
}

/** The same text for two addresses at which the same machine is certainly found. */
export function placeOf({ host, port }: Address): string {
  const plain = canonicalHost(host).replace(/^::ffff:(?=[\d.]+$)/, "");
  return formatAddress({ host: plain === "localhost" ? "127.0.0.1" : plain, port });
}

/** True for a port that another process can be told: 0, "any free port", is none. */
export function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65_535;
}

/**
 * Labels of letters, digits, `-` and `_`. What ends in a number, which may be hexadecimal, is read as an IPv4 address by
 * systems, and must be a plain one: so 127.0.0.256 is caught, and 0, 0x0 and 0177.1.
 */
function isHostName(text: string): boolean {
  if (/(^|\.)(\d+|0x[\da-f]*)\.?$/i.test(text)) return isIpv4(text);
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

/** The eight numbers of an address that `isIpv6`, without its zone. */
function ipv6Groups(address: string): number[] {
  const [head = [], tail = []] = address.split("::").map((side) => (side === "" ? [] : side.split(":")));
  const numbers = (parts: readonly string[]) =>
    parts.flatMap((part) => (part.includes(".") ? ipv4Groups(part) : [Number.parseInt(part, 16)]));
  const [front, back] = [numbers(head), numbers(tail)];
  return [...front, ...new Array<number>(8 - front.length - back.length).fill(0), ...back];
}

function ipv4Groups(text: string): [number, number] {
  const [a = 0, b = 0, c = 0, d = 0] = text.split(".").map(Number);
  return [a * 256 + b, c * 256 + d];
}

/** The longest run of two or more zeros is left out, the first of several; an IPv4 address inside stays readable. */
function formatIpv6(groups: readonly number[]): string {
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) {
    const [high = 0, low = 0] = groups.slice(6);
    return `::ffff:${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
  }
  const text = groups.map((group) => group.toString(16)).join(":");
  const runs = [...text.matchAll(/(?:^|:)0(?::0)+(?=:|$)/g)];
  const longest = runs.toSorted((one, other) => other[0].length - one[0].length)[0];
  if (longest === undefined) return text;
  return `${text.slice(0, longest.index)}::${text.slice(longest.index + longest[0].length).replace(/^:/, "")}`;
}
