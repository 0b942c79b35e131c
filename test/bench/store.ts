/**
 * `make bench-store`: the store (src/leveldb) beside plain SQLite, LevelDB itself (classic-level) and a bare Map, in
 * turns, each in a process of its own, with keys of 16 random bytes and values that differ at every put. Flushes,
 * merges and syncs are included. Prints medians of rounds, and whether the aims are met.
 *
 * Options in the environment: KEYS [1000000], ROUNDS [3], SQLITE_ROUNDS [1], for it is slow, SQLITE_SYNCHRONOUS [FULL],
 * SEED [1], JSON=1 for figures of all rounds instead of the table, BENCH_DIR for the data, PROFILE=folder for a profile
 * of each part.
 */
import { cpus } from "node:os";
import type { ClassicLevelFigures } from "./store-classic-level.ts";
import type { KvraftFigures } from "./store-kvraft.ts";
import type { MapFigures } from "./store-map.ts";
import type { OpenFigures } from "./store-open.ts";
import { Parts } from "./store-parts.ts";
import { count, printRows, type Round, rowsOf } from "./store-report.ts";
import type { SqliteFigures } from "./store-sqlite.ts";
import { keyBytes, valueBytes } from "./store-workload.ts";

const keys = option("KEYS", 1_000_000, 1000, 100_000_000);
const rounds = option("ROUNDS", 3, 1, 100);
const sqliteRounds = option("SQLITE_ROUNDS", 1, 0, 100);
const seed = option("SEED", 1, 0, 2 ** 31 - 1);
const memtableBytesMax = 64 * 1024 * 1024;
const isJson = process.env["JSON"] === "1";

const parts = new Parts();
try {
  const measured: Round[] = [];
  for (let round = 0; round < rounds; round++) measured.push(await runRound(round));
  const rows = rowsOf(measured, keys, memtableBytesMax);
  if (isJson) console.log(JSON.stringify({ seed, keys, rows, rounds: measured }, undefined, 2));
  else {
    console.log(
      `${count(keys)} keys of ${keyBytes} random bytes (seed ${seed}), values of ${valueBytes} bytes that differ at ` +
        `every put, ${rounds} rounds (${Math.min(rounds, sqliteRounds)} of SQLite), medians; ` +
        `memtable 64 MiB, cache 8 MiB; bun ${Bun.version}, ${cpus().length} cores`,
    );
    printRows(rows);
    for (const note of notes(measured)) console.log(note);
  }
} finally {
  parts.end();
}

async function runRound(round: number): Promise<Round> {
  const options = { seed: seed + round, keys, memtableBytesMax };
  const map = await parts.run<MapFigures>("map", options);
  const { figures: kvraft, watch } = await parts.run<KvraftFigures>("kvraft", options);
  const open = await parts.run<OpenFigures>("open", options, "kvraft");
  parts.remove("kvraft");
  const classicLevel = await parts.run<ClassicLevelFigures>("classic-level", options);
  parts.remove("classic-level");
  const sqlite = round < sqliteRounds ? await parts.run<SqliteFigures>("sqlite", options) : undefined;
  parts.remove("sqlite");
  return {
    map: map.figures,
    kvraft,
    peakBytes: watch.peakBytes(kvraft.overwrite.span.fromMs),
    idleLoadStops: watch.idleStops([kvraft.load.span]),
    idleMergeStops: watch.idleStops(kvraft.mergeSpans),
    open: open.figures,
    classicLevel: classicLevel.figures,
    sqlite: sqlite?.figures,
  };
}

function notes(measured: readonly Round[]): string[] {
  const { map, classicLevel, sqlite } = measured[0]!;
  const found: string[] = [];
  if (map.keys < keys) found.push(`The Map was given the first ${count(map.keys)} keys only.`);
  if (classicLevel.missing !== undefined)
    found.push(`classic-level was left out, since it cannot be loaded: ${classicLevel.missing}`);
  if (sqlite !== undefined)
    found.push(
      `SQLite: WAL, synchronous=${sqlite.synchronous}, 64 puts a transaction, checkpoints included (with ` +
        `SQLITE_SYNCHRONOUS=NORMAL it syncs at checkpoints only, as kvraft's store does at flushes)` +
        (sqlite.preloaded === 0
          ? "."
          : `; only the last ${count(sqlite.puts)} puts were measured, into a table that ` +
            `had got the others before, in the order of keys.`),
    );
  return found;
}

function option(name: string, otherwise: number, min: number, max: number): number {
  const value = Number(process.env[name] ?? otherwise);
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value;
  console.error(`${name} is "${process.env[name]}", wanted a whole number from ${min} to ${max}`);
  process.exit(2);
}
