/** A part of the store's benchmark: the same puts into a bare Map, which is what a put cannot do without. */
import { endPart, partOptions, progress } from "./store-child.ts";
import { Turns } from "./store-heartbeat.ts";
import { batchPuts, StoreBatch, StoreWorkload } from "./store-workload.ts";

export interface MapFigures {
  readonly keys: number;
  readonly putUs: number;
  readonly medianPutUs: number;
}

const { seed, keys: wanted } = partOptions();
const keys = Math.min(wanted, 1_000_000);
const batch = new StoreBatch(new StoreWorkload(seed));
const views = batch.keys.map((key) => Buffer.from(key.buffer));
const map = new Map<string, Uint8Array>();
const turns = new Turns();
const batchMs = new Float64Array(Math.ceil(keys / batchPuts));
for (let from = 0; from < keys; from += batchPuts) {
  batch.fill(from, keys);
  const beganMs = performance.now();
  for (let at = 0; at < batch.length; at++) map.set(views[at]!.toString("latin1"), batch.values[at]!.slice());
  batchMs[from / batchPuts] = performance.now() - beganMs;
  await turns.turn();
  if (from % (batchPuts * 1024) === 0) progress("map: puts", from, keys);
}
if (map.size !== keys) throw new Error(`The map holds ${map.size} keys, wanted ${keys}`);
endPart({
  keys,
  putUs: (batchMs.reduce((sum, ms) => sum + ms, 0) * 1000) / keys,
  medianPutUs: (batchMs.sort()[batchMs.length >>> 1]! * 1000) / batchPuts,
} satisfies MapFigures);
