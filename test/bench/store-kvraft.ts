/**
 * A part of the store's benchmark: kvraft's own store. Loads all keys, reads them, overwrites all of them once in random
 * order, waits until what can be merged at rest is merged, and reads them again.
 */
import { realEnv } from "../../src/env/real-env.ts";
import { LevelDB } from "../../src/leveldb/level-db.ts";
import { endPart, endProgress, partOptions, progress } from "./store-child.ts";
import { folderBytes, folderMark } from "./store-files.ts";
import { Heartbeat, nowMs, type Span, type Stops, Turns } from "./store-heartbeat.ts";
import { type ProcessorTime, processorTime, processorTimeSince } from "./store-processor.ts";
import { batchPuts, keyBytes, StoreBatch, StoreWorkload, shuffled, valueBytes } from "./store-workload.ts";

export interface ReadFigures {
  readonly runs: number;
  readonly getUs: number;
  readonly missUs: number;
  readonly scanPerSecond: number;
}

export interface WriteFigures {
  /** Inside of put. */
  readonly putUs: number;
  readonly medianPutUs: number;
  /** Inside of seal. */
  readonly longestSealMs: number;
  readonly sustainedUs: number;
  readonly processor: ProcessorTime;
  /** Waiting because `pressure` was 1. */
  readonly waitedMs: number;
  readonly flushMs: number;
  readonly span: Span;
  readonly stops: Stops;
}

export interface KvraftFigures {
  readonly load: WriteFigures;
  readonly overwrite: WriteFigures;
  /** After the load and after the overwriting, until nothing was left to merge. */
  readonly mergeSpans: readonly Span[];
  readonly mergeStops: Stops;
  readonly mergeSeconds: number;
  readonly memtableHitUs: number;
  readonly loaded: ReadFigures;
  readonly rested: ReadFigures;
  readonly liveBytes: number;
  readonly loadedBytes: number;
  readonly overwrittenBytes: number;
  readonly restedBytes: number;
  readonly residentBytes: number;
  readonly rssBeforeBytes: number;
  readonly rssPeakBytes: number;
  /** LevelDB's table of what flushes and merges have cost. */
  readonly stats: string;
}

const mergeMinutesMax = 30;
const quietMs = 5000;
const gets = 200_000;
const memtableKeysMax = 150_000;

const { folder, seed, keys, memtableBytesMax } = partOptions();
const workload = new StoreWorkload(seed);
const batch = new StoreBatch(workload);
const turns = new Turns();
const heartbeat = new Heartbeat();
const mergeSpans: Span[] = [];
let index = 0;

const rssBeforeBytes = process.memoryUsage().rss;
const db = LevelDB.open(realEnv(), folder, {
  createIfMissing: true,
  memtableBytesMax,
  failed: (error) => {
    throw error;
  },
});
const load = await write("load", 0, keys, (at) => at);
const residentBytes = Number(db.getProperty("leveldb.approximate-memory-usage"));
const rssPeakBytes = process.resourceUsage().maxRSS * 1024;
await settle("merges after the load");
const loadedBytes = folderBytes(folder);
const loaded = read();
const { overwrite, memtableHitUs } = await overwriteAll();
const overwrittenBytes = folderBytes(folder);
db.rest(true);
await settle("merges at rest");
const restedBytes = folderBytes(folder);
const rested = read();
const stats = db.getProperty("leveldb.stats")!;
db.close();
endProgress();
endPart({
  load,
  overwrite,
  mergeSpans,
  mergeStops: heartbeat.stopsIn(mergeSpans),
  mergeSeconds: mergeSpans.reduce((sum, { fromMs, toMs }) => sum + toMs - fromMs - quietMs, 0) / 1000,
  memtableHitUs,
  loaded,
  rested,
  liveBytes: keys * (keyBytes + valueBytes),
  loadedBytes,
  overwrittenBytes,
  restedBytes,
  residentBytes,
  rssBeforeBytes,
  rssPeakBytes,
  stats,
} satisfies KvraftFigures);

/** The first ones are read again while they are in the memtable, and are not among those that are timed. */
async function overwriteAll(): Promise<{ overwrite: WriteFigures; memtableHitUs: number }> {
  const order = shuffled(keys, seed + 1);
  const first = Math.min(memtableKeysMax, keys >>> 1);
  for (let from = 0; from < first; from += batchPuts) {
    batch.fill(from, first, order);
    for (let at = 0; at < batch.length; at++) db.put(batch.keys[at]!, batch.values[at]!);
    await turns.turn();
  }
  const places = shuffled(first, seed + 2);
  const hitUs = timePerKey(gets, (at) => order(places(at % first)), true);
  return { overwrite: await write("overwrite", first, keys, order), memtableHitUs: hitUs };
}

/** Puts until everything is durable. */
async function write(
  what: string,
  start: number,
  end: number,
  order: (at: number) => number,
): Promise<WriteFigures> {
  const batchMs = new Float64Array(Math.ceil((end - start) / batchPuts));
  let waitedMs = 0;
  let longestSealMs = 0;
  let batches = 0;
  heartbeat.start();
  const began = processorTime();
  const fromMs = nowMs();
  for (let from = start; from < end; from += batchPuts) {
    batch.fill(from, end, order);
    const beganMs = performance.now();
    for (let at = 0; at < batch.length; at++) db.put(batch.keys[at]!, batch.values[at]!);
    const endedMs = performance.now();
    batchMs[batches++] = endedMs - beganMs;
    if (db.isFull && db.canSeal) {
      db.seal({ index: ++index, term: 1 });
      longestSealMs = Math.max(longestSealMs, performance.now() - endedMs);
    }
    while (db.pressure >= 1) {
      const waitsMs = performance.now();
      await Bun.sleep(1);
      waitedMs += performance.now() - waitsMs;
    }
    await turns.turn();
    if (from % (batchPuts * 1024) === 0) progress(`kvraft: ${what}`, from - start, end - start);
  }
  const putMs = batchMs.reduce((sum, ms) => sum + ms, 0);
  const flushMs = await flush();
  const span = { fromMs, toMs: nowMs() };
  const processor = processorTimeSince(began);
  heartbeat.stop();
  const puts = end - start;
  return {
    putUs: (putMs * 1000) / puts,
    medianPutUs: (batchMs.sort()[batches >>> 1]! * 1000) / batchPuts,
    longestSealMs,
    sustainedUs: ((span.toMs - fromMs) * 1000) / puts,
    processor,
    waitedMs,
    flushMs,
    span,
    stops: heartbeat.stopsIn([span]),
  };
}

/** Makes the rest durable as an owner with an event loop does. */
async function flush(): Promise<number> {
  const beganMs = performance.now();
  while (!db.canSeal) await Bun.sleep(1);
  db.seal({ index: ++index, term: 1 });
  while (db.isSealed) await Bun.sleep(1);
  return performance.now() - beganMs;
}

/** Waits until no merge is under way, and none begins: one that has just begun is seen by its file that grows. */
async function settle(what: string): Promise<void> {
  const fromMs = nowMs();
  let quietSinceMs = fromMs;
  let known = "";
  heartbeat.start();
  while (nowMs() - quietSinceMs < quietMs) {
    await Bun.sleep(100);
    const debt = Number(db.getProperty("kvraft.merge-debt-bytes"));
    const mark = folderMark(folder);
    if (debt > 0 || mark !== known) quietSinceMs = nowMs();
    known = mark;
    progress(`kvraft: ${what}, ${debt} bytes to go`, nowMs() - fromMs, mergeMinutesMax * 60_000);
    if (nowMs() - fromMs > mergeMinutesMax * 60_000)
      throw new Error(`The store still merges after ${mergeMinutesMax} minutes`);
  }
  heartbeat.stop();
  mergeSpans.push({ fromMs, toMs: nowMs() });
}

function read(): ReadFigures {
  const runs = Number(db.getProperty("kvraft.runs"));
  const order = shuffled(keys, seed + 3);
  // Once for the filters and for the compiler.
  timePerKey(gets / 4, (at) => order(((at + keys / 2) % keys) | 0), true);
  const getUs = timePerKey(gets, (at) => order(at % keys), true);
  timePerKey(gets / 4, (at) => keys + at, false);
  const missUs = timePerKey(gets, (at) => 2 * keys + at, false);
  return { runs, getUs, missUs, scanPerSecond: scan() };
}

/** Keys are made before the clock runs, so that only `get` counts. */
function timePerKey(count: number, indexOf: (at: number) => number, isThere: boolean): number {
  let ms = 0;
  for (let from = 0; from < count; from += batchPuts) {
    const length = Math.min(batchPuts, count - from);
    for (let at = 0; at < length; at++) workload.key(indexOf(from + at), batch.keys[at]!);
    let found = 0;
    const beganMs = performance.now();
    for (let at = 0; at < length; at++) if (db.get(batch.keys[at]!) !== undefined) found++;
    ms += performance.now() - beganMs;
    if (found !== (isThere ? length : 0)) throw new Error(`Found ${found} of ${length} keys`);
  }
  return (ms * 1000) / count;
}

function scan(): number {
  const iterator = db.newIterator();
  const beganMs = performance.now();
  let count = 0;
  let bytes = 0;
  for (iterator.seekToFirst(); iterator.valid(); iterator.next()) {
    bytes += iterator.key().length + iterator.value().length;
    count++;
  }
  const seconds = (performance.now() - beganMs) / 1000;
  iterator.close();
  if (count !== keys || bytes !== keys * (keyBytes + valueBytes))
    throw new Error(`A scan finds ${count} keys, wanted ${keys}`);
  return count / seconds;
}
