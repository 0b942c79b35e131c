import { type Address, canonicalHost, isAnyHost, isHost, isPort, parseAddress } from "../lib/address.ts";
import { formatDuration, formatSize, parseDuration, parseSize } from "./units.ts";
import type { Located, Mapping } from "./yaml-mapping.ts";

/** A range of whole numbers, both ends included. */
export interface Range {
  readonly min: number;
  readonly max: number;
}

/*
 * Each reader returns the value below a key. An absent key yields `otherwise`; where there is none to fall back on,
 * and for a value of the wrong kind or out of range, it notes a problem and returns undefined.
 */

/** A whole number. */
export function readWhole(from: Mapping, key: string, range: Range, otherwise?: number): number | undefined {
  const wanted = `a whole number from ${range.min} to ${range.max}`;
  return read(from, key, wanted, otherwise, ({ scalar }) =>
    typeof scalar === "number" && Number.isInteger(scalar) && isWithin(scalar, range) ? scalar : undefined,
  );
}

/** Milliseconds, from a number of them or a duration such as `50ms`. */
export function readDuration(
  from: Mapping,
  key: string,
  range: Range,
  otherwise: number,
): number | undefined {
  const wanted = `a duration from ${formatDuration(range.min)} to ${formatDuration(range.max)}, such as 50ms or 5s`;
  return read(from, key, wanted, otherwise, ({ scalar }) => quantity(scalar, parseDuration, range));
}

/** Bytes, from a number of them or a size such as `8MiB`. */
export function readSize(from: Mapping, key: string, range: Range, otherwise: number): number | undefined {
  const wanted = `a size from ${formatSize(range.min)} to ${formatSize(range.max)}, such as 64KiB or 8MiB`;
  return read(from, key, wanted, otherwise, ({ scalar }) => quantity(scalar, parseSize, range));
}

/** One of a few words. */
export function readWord<T extends string>(
  from: Mapping,
  key: string,
  words: readonly T[],
  otherwise: T,
): T | undefined {
  return read(from, key, `one of ${words.join(", ")}`, otherwise, ({ scalar }) =>
    words.find((word) => word === scalar),
  );
}

/** The path of a file or folder. */
export function readPath(from: Mapping, key: string, otherwise: string): string | undefined {
  return read(from, key, "a path as text", otherwise, ({ scalar }) =>
    typeof scalar === "string" && scalar.trim() !== "" && !scalar.includes("\0") ? scalar : undefined,
  );
}

/** A host name or IP address at which others find a server. */
export function readHost(from: Mapping, key: string): string | undefined {
  const scalar = from.get(key)?.scalar;
  const isAny = typeof scalar === "string" && isHost(scalar) && isAnyHost(scalar);
  const wanted = isAny
    ? "an address at which others find this server; it listens on all of a machine with the key listen"
    : "an IP address or a host name";
  return read(from, key, wanted, undefined, () =>
    typeof scalar === "string" && isHost(scalar) && !isAny ? canonicalHost(scalar) : undefined,
  );
}

/** An address of this machine, or all of them, with a port; undefined when it is not said. */
export function readListen(from: Mapping, key: string): Address | undefined {
  if (from.get(key) === undefined) return undefined;
  return read(from, key, 'HOST:PORT, such as 0.0.0.0:5001 or "[::]:5001"', undefined, ({ scalar }) =>
    typeof scalar === "string" ? parseAddress(scalar) : undefined,
  );
}

/** A port as a number or as text. */
export function readPort(from: Mapping, key: string): number | undefined {
  return read(from, key, "a port from 1 to 65535", undefined, ({ scalar }) => {
    const isDigits = typeof scalar === "string" && /^\d{1,5}$/.test(scalar);
    const port = isDigits ? Number(scalar) : scalar;
    return typeof port === "number" && isPort(port) ? port : undefined;
  });
}

function read<T>(
  from: Mapping,
  key: string,
  wanted: string,
  otherwise: T | undefined,
  accept: (located: Located) => T | undefined,
): T | undefined {
  const located = from.get(key);
  if (located === undefined && otherwise !== undefined) return otherwise;
  const value = located === undefined ? undefined : accept(located);
  if (value === undefined)
    from.problems.add(
      located?.line ?? from.lineOf(key),
      from.pathOf(key),
      located?.shown ?? "nothing",
      wanted,
    );
  return value;
}

function quantity(
  scalar: unknown,
  parse: (text: string) => number | undefined,
  range: Range,
): number | undefined {
  const value = typeof scalar === "string" ? parse(scalar) : scalar;
  return typeof value === "number" && Number.isInteger(value) && isWithin(value, range) ? value : undefined;
}

function isWithin(value: number, range: Range): boolean {
  return value >= range.min && value <= range.max;
}
