/** A part of the store's benchmark: LevelDB itself, in batches of 64, with the same write buffer and no compression. */

import { endPart, partOptions, progress } from "./store-child.ts";
import { folderBytes } from "./store-files.ts";
import { type ProcessorTime, processorTime, processorTimeSince } from "./store-processor.ts";
import { batchPuts, keyBytes, StoreBatch, StoreWorkload, shuffled } from "./store-workload.ts";

export interface ClassicLevelFigures {
  /** Why there are no others. */
  readonly missing?: string;
  readonly sustainedUs?: number;
  readonly processor?: ProcessorTime;
  readonly getUs?: number;
  readonly bytes?: number;
}

/** What is used of the package, which is native code that not every machine can load. */
interface Level {
  open(): Promise<void>;
  close(): Promise<void>;
  batch(operations: readonly object[], options: { sync: boolean }): Promise<void>;
  get(key: Uint8Array): Promise<Uint8Array | undefined>;
}
type MakeLevel = new (folder: string, options: object) => Level;

const gets = 50_000;

const options = partOptions();
const classicLevel = await load();
endPart(typeof classicLevel === "string" ? { missing: classicLevel } : await measure(classicLevel));

async function load(): Promise<MakeLevel | string> {
  const name: string = "classic-level";
  try {
    return (await import(name)).ClassicLevel;
  } catch (error) {
    return String(error).split("\n")[0]!;
  }
}

async function measure(ClassicLevel: MakeLevel): Promise<ClassicLevelFigures> {
  const { folder, seed, keys, memtableBytesMax } = options;
  const db = new ClassicLevel(folder, {
    keyEncoding: "view",
    valueEncoding: "view",
    writeBufferSize: memtableBytesMax,
    compression: false,
  });
  await db.open();
  const workload = new StoreWorkload(seed);
  const batch = new StoreBatch(workload);
  const began = processorTime();
  const beganMs = performance.now();
  for (let from = 0; from < keys; from += batchPuts) {
    batch.fill(from, keys);
    const operations: object[] = [];
    for (let at = 0; at < batch.length; at++)
      operations.push({ type: "put", key: batch.keys[at], value: batch.values[at] });
    // The last sync makes all of it durable: older logs were replaced by tables, which are synced.
    await db.batch(operations, { sync: from + batchPuts >= keys });
    if (from % (batchPuts * 1024) === 0) progress("classic-level: puts", from, keys);
  }
  const sustainedUs = ((performance.now() - beganMs) * 1000) / keys;
  const processor = processorTimeSince(began);
  const order = shuffled(keys, seed);
  const count = Math.min(gets, keys);
  const key = new Uint8Array(keyBytes);
  const startedMs = performance.now();
  for (let at = 0; at < count; at++) {
    workload.key(order(at), key);
    if ((await db.get(key)) === undefined) throw new Error("classic-level lost a key");
  }
  const getUs = ((performance.now() - startedMs) * 1000) / count;
  await db.close();
  return { sustainedUs, processor, getUs, bytes: folderBytes(folder) };
}
