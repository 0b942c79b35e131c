/**
 * Durations and sizes as people write them.
 *
 *     duration := number ("ms" | "s" | "m" | "h")?     without a unit: milliseconds
 *     size     := number ("B" | "KiB" | "MiB" | "GiB")?   without a unit: bytes
 *     number   := digits ("." digits)?
 *
 * The result must be a whole number of milliseconds or bytes. Example: `1.5s` is 1500, `64KiB` is 65536.
 */
const msByUnit = new Map([
  ["ms", 1],
  ["s", 1_000],
  ["m", 60_000],
  ["h", 3_600_000],
]);

const bytesByUnit = new Map([
  ["B", 1],
  ["KiB", 1024],
  ["MiB", 1024 ** 2],
  ["GiB", 1024 ** 3],
]);

/** Milliseconds, or undefined when the text is no duration. */
export function parseDuration(text: string): number | undefined {
  return parseQuantity(text, msByUnit, "ms");
}

/** Bytes, or undefined when the text is no size. */
export function parseSize(text: string): number | undefined {
  return parseQuantity(text, bytesByUnit, "B");
}

/** The shortest text that `parseDuration` reads back as the same number. */
export function formatDuration(ms: number): string {
  return formatQuantity(ms, msByUnit);
}

/** The shortest text that `parseSize` reads back as the same number. */
export function formatSize(bytes: number): string {
  return formatQuantity(bytes, bytesByUnit);
}

function parseQuantity(text: string, units: Map<string, number>, unitless: string): number | undefined {
  const [, digits, unit = unitless] = /^(\d{1,15}(?:\.\d{1,9})?) ?([A-Za-z]+)?$/.exec(text.trim()) ?? [];
  const factor = units.get(unit);
  if (digits === undefined || factor === undefined) return undefined;
  const quantity = Number(digits) * factor;
  // 0.1 and its like are not exact in binary: 4.1s must be 4100 although 4.1 * 1000 is a little less.
  const whole = Math.round(quantity);
  return Math.abs(quantity - whole) < 1e-6 && Number.isSafeInteger(whole) ? whole : undefined;
}

function formatQuantity(quantity: number, units: Map<string, number>): string {
  let text = "";
  for (const [unit, factor] of units) {
    if (text === "" || (quantity !== 0 && quantity % factor === 0)) text = `${quantity / factor}${unit}`;
  }
  return text;
}
