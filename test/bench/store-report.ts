/** What the rounds of the store's benchmark come to: medians, what stands beside them, and whether the aims are met. */
import type { ClassicLevelFigures } from "./store-classic-level.ts";
import type { Stops } from "./store-heartbeat.ts";
import type { KvraftFigures } from "./store-kvraft.ts";
import type { MapFigures } from "./store-map.ts";
import type { OpenFigures } from "./store-open.ts";
import type { ProcessorTime } from "./store-processor.ts";
import type { SqliteFigures } from "./store-sqlite.ts";

export interface Round {
  readonly map: MapFigures;
  readonly kvraft: KvraftFigures;
  readonly peakBytes: number;
  /** Of an idle process, while kvraft was loaded, and while it merged. */
  readonly idleLoadStops: Stops;
  readonly idleMergeStops: Stops;
  readonly open: OpenFigures;
  readonly classicLevel: ClassicLevelFigures;
  readonly sqlite: SqliteFigures | undefined;
}

export interface Row {
  readonly what: string;
  readonly value: number | undefined;
  readonly unit: string;
  readonly beside: string;
  readonly ratio?: number | undefined;
  readonly aim?: string;
  readonly isMet?: boolean | undefined;
}

const mebibyte = 1024 * 1024;
const rssAllowance = 100e6;
const cacheBytes = 8 * mebibyte;

export function rowsOf(rounds: readonly Round[], keys: number, memtableBytesMax: number): Row[] {
  const mid = (pick: (round: Round) => number | undefined) =>
    median(rounds.map(pick).filter((value) => value !== undefined));
  const kvraft = (pick: (figures: KvraftFigures) => number) => mid((round) => pick(round.kvraft))!;
  const live = rounds[0]!.kvraft.liveBytes;
  return [
    ...putRows(rounds, keys, mid, kvraft),
    ...stopRows(mid, kvraft),
    atMost("space at rest after overwriting all", kvraft((f) => f.restedBytes) / live, "x live", 1.3, {
      beside: `loaded ${(kvraft((f) => f.loadedBytes) / live).toFixed(2)}, overwritten ${(kvraft((f) => f.overwrittenBytes) / live).toFixed(2)}`,
    }),
    atMost("space, peak while merging", mid((round) => round.peakBytes)! / live, "x live", 2.5),
    ...readRows("after the load", mid, (f) => f.loaded),
    ...readRows("at rest", mid, (f) => f.rested),
    atMost(
      "get, a hit in the memtable",
      kvraft((f) => f.memtableHitUs),
      "us",
      1.5,
    ),
    atMost("open", mid((round) => round.open.openMs)!, "ms", 1000, {
      beside: `${mid((round) => round.open.files)} files`,
    }),
    memoryRow(kvraft, memtableBytesMax),
  ];
}

type Mid = (pick: (round: Round) => number | undefined) => number | undefined;
type Kvraft = (pick: (figures: KvraftFigures) => number) => number;

function putRows(rounds: readonly Round[], keys: number, mid: Mid, kvraft: Kvraft): Row[] {
  const putUs = kvraft((f) => f.load.putUs);
  const mapUs = mid((round) => round.map.putUs)!;
  const sustainedUs = kvraft((f) => f.load.sustainedUs);
  const sqlite = rounds.find((round) => round.sqlite !== undefined)?.sqlite;
  const sqliteUs = mid((round) => round.sqlite?.sustainedUs);
  const levelUs = mid((round) => round.classicLevel.sustainedUs);
  const sqliteTimes = keys >= 10_000_000 ? 8 : 5;
  const last = sqlite !== undefined && sqlite.preloaded > 0 ? `, its last ${count(sqlite.puts)}` : "";
  return [
    atMost("put, more than into a Map", putUs - mapUs, "us", 1.5, {
      beside: `put ${putUs.toFixed(2)} (median batch ${kvraft((f) => f.load.medianPutUs).toFixed(2)}), Map ${mapUs.toFixed(2)} (${mid((round) => round.map.medianPutUs)!.toFixed(2)})`,
    }),
    atLeast("puts until all is durable", sustainedUs, sqliteUs, sqliteTimes, `bun:sqlite${last}`),
    atLeast("  the same", sustainedUs, levelUs, 1, "classic-level"),
    processorRow(keys, mid, kvraft),
    {
      what: "  the same, overwriting",
      value: kvraft((f) => f.overwrite.sustainedUs),
      unit: "us",
      beside: `put ${kvraft((f) => f.overwrite.putUs).toFixed(2)}, waited ${kvraft((f) => f.overwrite.waitedMs / 1000).toFixed(1)} s for the worker (load: ${kvraft((f) => f.load.waitedMs / 1000).toFixed(1)} s)`,
    },
  ];
}

/** Of a put, with all that becomes of it while puts come. */
function processorRow(keys: number, mid: Mid, kvraft: Kvraft): Row {
  const us = (name: keyof ProcessorTime) => kvraft((f) => f.load.processor[name] * 1000) / keys;
  const others = [
    ["classic-level", mid(({ classicLevel }) => ((classicLevel.processor?.allMs ?? NaN) * 1000) / keys)],
    ["bun:sqlite", mid(({ sqlite }) => sqlite && (sqlite.processor.allMs * 1000) / sqlite.puts)],
  ] as const;
  const beside = others.flatMap(([name, value]) => (value ? [`${name} ${value.toFixed(1)}`] : []));
  const main = `main thread ${us("mainMs").toFixed(1)}, which waited ${us("mainWaitedMs").toFixed(1)} for a processor`;
  return {
    what: "  processor time of a put",
    value: us("allMs"),
    unit: "us",
    beside: [main, ...beside].join(", "),
  };
}

function stopRows(mid: Mid, kvraft: Kvraft): Row[] {
  const row = (what: string, stops: (f: KvraftFigures) => Stops, idle: (round: Round) => Stops): Row => {
    const idleMs = mid((round) => idle(round).longestMs)!;
    const longestMs = kvraft((f) => stops(f).longestMs);
    const beside =
      `99.9 % ${kvraft((f) => stops(f).p999Ms).toFixed(1)}; idle process ${idleMs.toFixed(1)}, ` +
      `99.9 % ${mid((round) => idle(round).p999Ms)!.toFixed(1)}`;
    const found = atMost(what, longestMs, "ms", 10, { beside });
    // Where a process that does nothing stops for longer than that, nobody can tell.
    if (found.isMet === true || idleMs <= 10) return found;
    return { ...found, isMet: undefined, beside: `the machine is too busy to tell: ${beside}` };
  };
  return [
    row(
      "longest stop, load",
      (f) => f.load.stops,
      (round) => round.idleLoadStops,
    ),
    row(
      "longest stop, merges",
      (f) => f.mergeStops,
      (round) => round.idleMergeStops,
    ),
  ];
}

function readRows(when: string, mid: Mid, pick: (figures: KvraftFigures) => KvraftFigures["loaded"]): Row[] {
  const of = (name: keyof KvraftFigures["loaded"]) => mid((round) => pick(round.kvraft)[name])!;
  const others = [
    ["classic-level", mid((round) => round.classicLevel.getUs)] as const,
    ["bun:sqlite", mid((round) => round.sqlite?.getUs)] as const,
  ].flatMap(([name, us]) => (us === undefined ? [] : [`${name} ${us.toFixed(1)}`]));
  const scanPerSecond = of("scanPerSecond");
  return [
    atMost(`get, ${when}, ${of("runs")} runs`, of("getUs"), "us", 8, { beside: others.join(", ") }),
    atMost(`get, ${when}, a miss`, of("missUs"), "us", 1.5),
    {
      what: `scan, ${when}`,
      value: scanPerSecond,
      unit: "pairs/s",
      beside: "",
      aim: ">= 1,000,000",
      isMet: scanPerSecond >= 1_000_000,
    },
  ];
}

function memoryRow(kvraft: Kvraft, memtableBytesMax: number): Row {
  const resident = kvraft((f) => f.residentBytes);
  const allowed = 3 * memtableBytesMax + resident + cacheBytes + rssAllowance;
  const grown = kvraft((f) => f.rssPeakBytes - f.rssBeforeBytes);
  return atMost("memory, peak of the load", grown / 1e6, "MB", Math.round(allowed / 1e6), {
    beside: `3 memtables, cache ${cacheBytes / mebibyte} MiB, filters and indexes ${(resident / 1e6).toFixed(1)} MB, and 100 MB`,
  });
}

function atMost(
  what: string,
  value: number,
  unit: string,
  most: number,
  more: { beside?: string } = {},
): Row {
  return { what, value, unit, beside: more.beside ?? "", aim: `<= ${count(most)}`, isMet: value <= most };
}

function atLeast(what: string, us: number, otherUs: number | undefined, times: number, other: string): Row {
  const aim = `>= ${times} times`;
  if (otherUs === undefined)
    return { what, value: us, unit: "us", beside: `${other} was not measured`, aim, isMet: undefined };
  const ratio = otherUs / us;
  const beside = `${other} ${otherUs.toFixed(2)}`;
  return { what, value: us, unit: "us", beside, ratio, aim, isMet: ratio >= times };
}

export function printRows(rows: readonly Row[]): void {
  const widths = [36, 10, 8, 6, 12, 4];
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, at) =>
        at === 0 || at === 2 || at > 5 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at]!),
      )
      .join("  ")
      .trimEnd();
  console.log(line(["what", "kvraft", "", "ratio", "aim", "met", "beside it"]));
  for (const { what, value, unit, ratio, aim, isMet, beside } of rows)
    console.log(
      line([
        what,
        value === undefined ? "-" : figure(value),
        unit,
        ratio?.toFixed(1) ?? "",
        aim ?? "",
        isMet === undefined ? (aim === undefined ? "" : "?") : isMet ? "yes" : "NO",
        beside,
      ]),
    );
}

function figure(value: number): string {
  return Math.abs(value) >= 1000 ? count(Math.round(value)) : value.toFixed(2);
}

export function count(value: number): string {
  return value.toLocaleString("en");
}

export function median(values: readonly number[]): number | undefined {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}
