import type { SimDisk } from "./sim-disk.ts";
import { dataDir } from "./sim-machine.ts";

/**
 * Flips a bit in a file that the node has to believe, where it can tell: anywhere but in the newest segment of its log. There
 * the last group is cut off as a torn write when its bytes are wrong, which no checksum can tell from damage. Returns
 * where, or undefined when there is no such file.
 */
export function rot(disk: SimDisk, chance: number): string | undefined {
  const files = [...disk.files()].filter(([path, content]) => content.length > 0 && isBelieved(path));
  const segments = files.map(([path]) => path).filter((path) => path.endsWith(".log"));
  const newest = segments.sort((a, b) => groupOf(a) - groupOf(b)).at(-1);
  const part = parts[chance % parts.length]!;
  const candidates = files
    .filter(([path]) => path !== newest && path.startsWith(`${dataDir}/${part}`))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  if (candidates.length === 0) return undefined;
  const [path, content] = candidates[chance % candidates.length]!;
  const used = lastUsed(content);
  const offset = Math.floor(chance / candidates.length) % used;
  disk.flip(path, offset, chance % 8);
  return `${path} at ${offset}`;
}

/** Half of the damage is to the log. */
const parts = ["log", "log", "store", ""] as const;

/** Segments are named by their first index and their first group. */
function groupOf(path: string): number {
  return Number(/-(\d+)\.log$/.exec(path)?.[1] ?? 0);
}

function isBelieved(path: string): boolean {
  return path.startsWith(`${dataDir}/`) && !path.endsWith("LOCK") && !path.endsWith(".tmp");
}

/** The end of a file's content without the zeros that were written ahead. */
function lastUsed(content: Uint8Array): number {
  let length = content.length;
  while (length > 1 && content[length - 1] === 0) length--;
  return length;
}
