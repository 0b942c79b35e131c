/**
 * What a store tells about itself, by name, as LevelDB's `GetProperty` does. Runs are shown as levels, since what
 * reads and space cost comes from how many layers there are: the newest run is level 0, and the last level holds all
 * that do not have one of their own.
 */
import { type Bytes, compareBytes, fromUtf8Strict, toHex } from "../lib/bytes.ts";
import type { Run } from "./run.ts";
import type { RunFolder } from "./run-folder.ts";
import type { UpkeepWork } from "./upkeep-messages.ts";

/** LevelDB has so many levels, and programs ask for them by number. */
const levels = 7;
const mebibyte = 1024 * 1024;

/** A range of keys, from `start` up to and without `limit`. */
export interface Range {
  readonly start: Bytes;
  readonly limit: Bytes;
}

export interface StoreState {
  readonly runs: RunFolder;
  readonly memtableBytes: number;
  readonly sealedBytes: number;
  readonly sealedCount: number;
  readonly cacheBytes: number;
  readonly pressure: number;
  readonly stalls: number;
  readonly work: UpkeepWork;
  readonly spaceRatio: number;
  readonly mergeDebtBytes: number;
}

/** The text of a property, or undefined when there is none of that name. */
export function propertyOf(name: string, state: StoreState): string | undefined {
  const level = /^leveldb\.num-files-at-level(\d+)$/.exec(name)?.[1];
  if (level !== undefined)
    return Number(level) < levels ? String(filesAt(state, Number(level)).length) : undefined;
  switch (name) {
    case "leveldb.stats":
      return stats(state);
    case "leveldb.sstables":
      return sstables(state);
    case "leveldb.approximate-memory-usage":
      return String(state.memtableBytes + state.sealedBytes + state.cacheBytes + state.runs.residentBytes);
    case "kvraft.memtable-bytes":
      return String(state.memtableBytes);
    case "kvraft.sealed-memtables":
      return String(state.sealedCount);
    case "kvraft.sealed-bytes":
      return String(state.sealedBytes);
    case "kvraft.runs":
      return String(state.runs.runs.length);
    case "kvraft.files":
      return String(state.runs.runs.reduce((sum, run) => sum + run.parts.length, 0));
    case "kvraft.file-bytes":
      return String(state.runs.runs.reduce((sum, run) => sum + bytesOf(run), 0));
    case "kvraft.write-pressure":
      return state.pressure.toFixed(3);
    case "kvraft.write-stalls":
      return String(state.stalls);
    case "kvraft.merge-debt-bytes":
      return String(state.mergeDebtBytes);
    case "kvraft.space-ratio":
      return state.spaceRatio.toFixed(3);
    default:
      return undefined;
  }
}

/** About how many bytes of files the keys of a range take. */
export function approximateSize(runs: readonly Run[], range: Range): number {
  let bytes = 0;
  for (const run of runs)
    for (const { table } of run.parts) {
      const { file, footer } = table;
      const isOutside =
        compareBytes(range.start, file.largest) > 0 || compareBytes(range.limit, file.smallest) <= 0;
      if (isOutside || compareBytes(range.start, range.limit) >= 0) continue;
      const from = compareBytes(range.start, file.smallest) <= 0 ? 0 : table.blockOf(range.start);
      const isToEnd = compareBytes(range.limit, file.largest) > 0;
      const to = isToEnd ? footer.dataBlocks : table.blockOf(range.limit);
      bytes += Math.round((file.bytes * (to - from)) / footer.dataBlocks);
    }
  return bytes;
}

function runsAt(state: StoreState, level: number): readonly Run[] {
  const { runs } = state.runs;
  return level < levels - 1 ? runs.slice(level, level + 1) : runs.slice(level);
}

function filesAt(
  state: StoreState,
  level: number,
): { number: number; bytes: number; smallest: Bytes; largest: Bytes }[] {
  return runsAt(state, level).flatMap((run) => run.parts.map(({ table }) => table.file));
}

function bytesOf(run: Run): number {
  return run.parts.reduce((sum, { table }) => sum + table.file.bytes, 0);
}

/** LevelDB's table. What flushes have cost is shown at level 0, what merges have at level 1. */
function stats(state: StoreState): string {
  const { work } = state;
  const lines = [
    "                               Compactions",
    "Level  Files Size(MB) Time(sec) Read(MB) Write(MB)",
    "--------------------------------------------------",
  ];
  for (let level = 0; level < levels; level++) {
    const files = filesAt(state, level);
    const size = files.reduce((sum, file) => sum + file.bytes, 0);
    const ms = level === 0 ? work.flushMs : level === 1 ? work.mergeMs : 0;
    const read = level === 1 ? work.mergeReadBytes : 0;
    const written = level === 0 ? work.flushedBytes : level === 1 ? work.mergeWrittenBytes : 0;
    if (files.length === 0 && ms === 0) continue;
    lines.push(
      [
        String(level).padStart(3),
        String(files.length).padStart(8),
        whole(size / mebibyte, 8),
        whole(ms / 1000, 9),
        whole(read / mebibyte, 8),
        whole(written / mebibyte, 9),
      ].join(" "),
    );
  }
  return `${lines.join("\n")}\n`;
}

function whole(value: number, width: number): string {
  return value.toFixed(0).padStart(width);
}

function sstables(state: StoreState): string {
  const lines: string[] = [];
  for (let level = 0; level < levels; level++) {
    lines.push(`--- level ${level} ---`);
    for (const { number, bytes, smallest, largest } of filesAt(state, level))
      lines.push(` ${number}:${bytes}[${keyText(smallest)} .. ${keyText(largest)}]`);
  }
  return `${lines.join("\n")}\n`;
}

function keyText(key: Bytes): string {
  const text = fromUtf8Strict(key);
  return text !== undefined && !/\p{C}/u.test(text) ? text : `0x${toHex(key)}`;
}
