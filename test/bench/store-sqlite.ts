/**
 * A part of the store's benchmark: plain SQLite, one table of keys and values with WAL, a transaction per 64 puts, the
 * checkpoints included. Of many keys only the last are measured, after a bulk load of the others in the order of keys.
 */
import { Database } from "bun:sqlite";
import { endPart, partOptions, progress } from "./store-child.ts";
import { folderBytes } from "./store-files.ts";
import { type ProcessorTime, processorTime, processorTimeSince } from "./store-processor.ts";
import { batchPuts, keyBytes, StoreBatch, StoreWorkload, shuffled, valueBytes } from "./store-workload.ts";

export interface SqliteFigures {
  /** Puts that were measured, and those that were there before. */
  readonly puts: number;
  readonly preloaded: number;
  readonly synchronous: string;
  readonly sustainedUs: number;
  readonly processor: ProcessorTime;
  readonly getUs: number;
  readonly bytes: number;
}

/** Up to so many keys all puts are measured; of more, the last `measuredPuts`. */
const allMeasuredMax = 2_000_000;
const measuredPuts = 500_000;
const gets = 100_000;
const synchronous = process.env["SQLITE_SYNCHRONOUS"] ?? "FULL";

const { folder, seed, keys } = partOptions();
const path = `${folder}/plain.db`;
const workload = new StoreWorkload(seed);
const batch = new StoreBatch(workload);
const preloaded = keys > allMeasuredMax ? keys - measuredPuts : 0;
const putText = "INSERT OR REPLACE INTO pair VALUES (?, ?)";

const db = new Database(path, { create: true });
db.run("CREATE TABLE pair (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID");
if (preloaded > 0) preload();
db.run("PRAGMA journal_mode = WAL");
db.run(`PRAGMA synchronous = ${synchronous}`);
const put = db.prepare(putText);
const began = processorTime();
const beganMs = performance.now();
for (let from = preloaded; from < keys; from += batchPuts) {
  batch.fill(from, keys);
  db.run("BEGIN");
  for (let at = 0; at < batch.length; at++) put.run(batch.keys[at]!, batch.values[at]!);
  db.run("COMMIT");
  if (from % (batchPuts * 64) === 0) progress("sqlite: puts", from - preloaded, keys - preloaded);
}
db.run("PRAGMA wal_checkpoint(TRUNCATE)");
const tookMs = performance.now() - beganMs;
const processor = processorTimeSince(began);
const puts = keys - preloaded;
endPart({
  puts,
  preloaded,
  synchronous,
  sustainedUs: (tookMs * 1000) / puts,
  processor,
  getUs: measureGets(),
  bytes: folderBytes(folder),
} satisfies SqliteFigures);

/** As fast as it goes, and nothing of it is measured. */
function preload(): void {
  db.run("PRAGMA journal_mode = MEMORY");
  db.run("PRAGMA synchronous = OFF");
  const statement = db.prepare(putText);
  const key = new Uint8Array(keyBytes);
  const value = new Uint8Array(valueBytes);
  // As many leading bits of the key as fit beside its index into a number.
  const indexes = 2 ** Math.ceil(Math.log2(preloaded));
  const dropped = 2 ** Math.max(0, Math.log2(indexes) + 32 - 53);
  const order = new Float64Array(preloaded);
  for (let index = 0; index < preloaded; index++)
    order[index] = Math.floor(workload.keyHead(index) / dropped) * indexes + index;
  order.sort();
  db.run("BEGIN");
  for (let at = 0; at < preloaded; at++) {
    workload.key(order[at]! % indexes, key);
    workload.value(value);
    statement.run(key, value);
    if (at % 65_536 === 0) progress("sqlite: bulk load", at, preloaded);
  }
  db.run("COMMIT");
  statement.finalize();
}

function measureGets(): number {
  const select = db.prepare("SELECT value FROM pair WHERE key = ?");
  const order = shuffled(keys, seed);
  const count = Math.min(gets, keys);
  const key = new Uint8Array(keyBytes);
  const startedMs = performance.now();
  for (let at = 0; at < count; at++) {
    workload.key(order(at), key);
    if (select.get(key) === null) throw new Error("SQLite lost a key");
  }
  return ((performance.now() - startedMs) * 1000) / count;
}
