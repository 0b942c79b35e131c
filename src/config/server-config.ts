import { placeOf } from "../lib/address.ts";
import { assert } from "../lib/assert.ts";
import {
  defaultDataDir,
  defaultLimits,
  defaultLogLevel,
  defaultTimings,
  type Limits,
  type LogLevel,
  type ServerConfig,
  serversMax,
  type Timings,
} from "./config.ts";
import { putOverheadBytes } from "./reload.ts";
import { type Range, readDuration, readListen, readPath, readSize, readWhole, readWord } from "./scalars.ts";
import { readServers } from "./server-list.ts";
import { formatDuration, formatSize } from "./units.ts";
import { type Mapping, Problems, parseMapping } from "./yaml-mapping.ts";

/**
 * A server's configuration from the text of its file. Every problem is found in one go: they are thrown as one
 * KvraftError (CONFIG) with a line `file:line: key: found …; wanted …` for each. What works but is hardly meant
 * becomes a warning in the same form.
 */
export function parseServerConfig(
  text: string,
  fileName: string,
): { config: ServerConfig; warnings: string[] } {
  const problems = new Problems(fileName);
  const file = parseMapping(text, problems, "a mapping with the keys me and servers");
  file.allowOnly(["me", "servers", "listen", "dataDir", "timings", "limits", "logLevel"], {
    loglevel: "logLevel",
  });
  const { servers, count } = readServers(file);
  const me = readWhole(file, "me", { min: 0, max: Math.max(0, (count ?? serversMax) - 1) });
  const listen = readListen(file, "listen");
  const dataDir = readPath(file, "dataDir", defaultDataDir(me ?? 0));
  const timings = readTimings(file.mapping("timings"));
  const limits = readLimits(file.mapping("limits"));
  const logLevel = readWord<LogLevel>(file, "logLevel", ["error", "warn", "info", "debug"], defaultLogLevel);
  problems.throwIfAny();
  const config = complete<ServerConfig>({ me, servers, dataDir, timings, limits, logLevel });
  const isOwn = listen === undefined || placeOf(listen) === placeOf(config.servers[config.me]!);
  return { config: isOwn ? config : { ...config, listen }, warnings: warningsOf(config, file) };
}

const minuteMs = 60_000;
const mebibyte = 1024 * 1024;

const timingRanges: Record<string, Range> = {
  tick: { min: 1, max: 1_000 },
  heartbeat: { min: 1, max: minuteMs },
  electionMin: { min: 1, max: 10 * minuteMs },
  electionMax: { min: 1, max: 10 * minuteMs },
  diskStall: { min: 10, max: 60 * minuteMs },
};

const sizeRanges: Record<string, Range> = {
  keyBytes: { min: 1, max: mebibyte },
  valueBytes: { min: 1, max: 16 * mebibyte },
  clientOutputBytes: { min: 4096, max: 1024 * mebibyte },
  clientBytes: { min: 4096, max: 64 * 1024 * mebibyte },
  memtableBytes: { min: 4096, max: 1024 * mebibyte },
  segmentBytes: { min: 4096, max: 1024 * mebibyte },
  logTailBytes: { min: 0, max: 1024 * 1024 * mebibyte },
  uncommittedBytes: { min: 4096, max: 1024 * mebibyte },
};

function readTimings(from: Mapping): Timings | undefined {
  const keys = Object.keys(timingRanges);
  from.allowOnly(keys);
  const read = (key: string, otherwise: number) => readDuration(from, key, timingRanges[key]!, otherwise);
  const timings = {
    tickMs: read("tick", defaultTimings.tickMs),
    heartbeatMs: read("heartbeat", defaultTimings.heartbeatMs),
    electionMinMs: read("electionMin", defaultTimings.electionMinMs),
    electionMaxMs: read("electionMax", defaultTimings.electionMaxMs),
    diskStallMs: read("diskStall", defaultTimings.diskStallMs),
  };
  const { tickMs, heartbeatMs, electionMinMs, electionMaxMs } = timings;
  relate(from, "heartbeat", heartbeatMs, "at least", "tick", tickMs, 0);
  relate(from, "electionMin", electionMinMs, "more than", "heartbeat", heartbeatMs, 1);
  relate(from, "electionMax", electionMaxMs, "more than", "electionMin", electionMinMs, 1);
  return isComplete<Timings>(timings) ? timings : undefined;
}

/** Wants `value` to be `margin` or more above `bound`; blames the key of the two that the file sets. */
function relate(
  from: Mapping,
  key: string,
  value: number | undefined,
  relation: string,
  boundKey: string,
  bound: number | undefined,
  margin: number,
): void {
  if (value === undefined || bound === undefined || value >= bound + margin) return;
  const line = from.has(key) ? from.lineOf(key) : from.lineOf(boundKey);
  const found = formatDuration(value) + (from.has(key) ? "" : " (the default)");
  from.problems.add(line, from.pathOf(key), found, `${relation} ${boundKey} (${formatDuration(bound)})`);
}

function readLimits(from: Mapping): Limits | undefined {
  from.allowOnly(Object.keys(defaultLimits));
  const size = (key: keyof Limits) => readSize(from, key, sizeRanges[key]!, defaultLimits[key]);
  const limits = {
    keyBytes: size("keyBytes"),
    valueBytes: size("valueBytes"),
    connections: readWhole(from, "connections", { min: 1, max: 1_000_000 }, defaultLimits.connections),
    requestsInFlight: readWhole(
      from,
      "requestsInFlight",
      { min: 1, max: 1_000_000 },
      defaultLimits.requestsInFlight,
    ),
    clientOutputBytes: size("clientOutputBytes"),
    clientBytes: size("clientBytes"),
    memtableBytes: size("memtableBytes"),
    segmentBytes: size("segmentBytes"),
    logTailEntries: readWhole(
      from,
      "logTailEntries",
      { min: 0, max: 1_000_000_000 },
      defaultLimits.logTailEntries,
    ),
    logTailBytes: size("logTailBytes"),
    agreementEntries: readWhole(
      from,
      "agreementEntries",
      { min: 0, max: 1_000_000_000 },
      defaultLimits.agreementEntries,
    ),
    uncommittedBytes: size("uncommittedBytes"),
  };
  if (!isComplete<Limits>(limits)) return undefined;
  const least = limits.keyBytes + limits.valueBytes + putOverheadBytes;
  for (const key of ["clientOutputBytes", "clientBytes", "segmentBytes", "uncommittedBytes"] as const) {
    if (limits[key] >= least) continue;
    const line = from.has(key) ? from.lineOf(key) : from.lineOf("valueBytes");
    const found = formatSize(limits[key]) + (from.has(key) ? "" : " (the default)");
    const wanted = `at least ${least}: keyBytes, valueBytes and ${formatSize(putOverheadBytes)} around them`;
    from.problems.add(line, from.pathOf(key), found, wanted);
  }
  return limits;
}

function warningsOf(config: ServerConfig, file: Mapping): string[] {
  const count = config.servers.length;
  if (count % 2 === 1) return [];
  const survived = (count - 1) >> 1;
  return [
    `${file.problems.fileName}:${file.lineOf("servers")}: servers: found ${count}; wanted an odd number: ` +
      `${count} servers survive the failure of ${survived}, no more than ${count - 1} ${count === 2 ? "does" : "do"}`,
  ];
}

function isComplete<T>(
  parts: { [Key in keyof T]: T[Key] | undefined },
): parts is { [Key in keyof T]: T[Key] } & T {
  return Object.values(parts).every((part) => part !== undefined);
}

/** What was read, once it is known that no problem was noted; each missing part would have been one. */
function complete<T>(parts: { [Key in keyof T]: T[Key] | undefined }): T {
  assert(isComplete<T>(parts), "a configuration without problems lacks nothing");
  return parts;
}
