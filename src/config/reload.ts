import type { Limits, ServerConfig } from "./config.ts";
import { formatSize } from "./units.ts";

/** Limits that a running server can take over; the others shape what it has in memory or on its disk. */
export const liveLimits = [
  "connections",
  "requestsInFlight",
  "logTailEntries",
  "logTailBytes",
  "uncommittedBytes",
] as const satisfies readonly (keyof Limits)[];

export interface Reload {
  /** What runs from now on. */
  readonly config: ServerConfig;
  /** The settings that are others now, as `logLevel: info → debug`. */
  readonly changed: readonly string[];
  /** The settings that the file changes and a running server cannot. */
  readonly restart: readonly string[];
}

/** What a running server takes over from its file: the log's level and the limits that can change while it runs. */
export function reloadConfig(running: ServerConfig, file: ServerConfig): Reload {
  const changed: string[] = [];
  const restart: string[] = [];
  const limits: { -readonly [Key in keyof Limits]: number } = { ...running.limits };
  for (const key of Object.keys(limits) as (keyof Limits)[]) {
    const [from, to] = [running.limits[key], file.limits[key]];
    if (from === to) continue;
    if (!isLive(key)) restart.push(`limits.${key}`);
    else if (!holdsPut(key, to, running.limits)) restart.push(`limits.${key} (a put must fit into it)`);
    else {
      limits[key] = to;
      changed.push(`limits.${key}: ${textOf(key, from)} → ${textOf(key, to)}`);
    }
  }
  if (running.logLevel !== file.logLevel) changed.push(`logLevel: ${running.logLevel} → ${file.logLevel}`);
  for (const key of ["me", "servers", "dataDir", "timings"] as const)
    if (JSON.stringify(running[key]) !== JSON.stringify(file[key])) restart.push(key);
  return { config: { ...running, logLevel: file.logLevel, limits }, changed, restart };
}

function isLive(key: keyof Limits): boolean {
  return (liveLimits as readonly string[]).includes(key);
}

/** The file was checked with its own largest key and value, and the server goes on with those that it has. */
function holdsPut(key: keyof Limits, bytes: number, { keyBytes, valueBytes }: Limits): boolean {
  return key !== "uncommittedBytes" || bytes >= keyBytes + valueBytes + putOverheadBytes;
}

function textOf(key: keyof Limits, value: number): string {
  return key.endsWith("Bytes") ? formatSize(value) : String(value);
}

/** What stands around the largest key and value in one request, entry or reply, rounded up. */
export const putOverheadBytes = 4096;
