/** The space that files take: bounded while everything is overwritten as fast as can be, and given back at rest. */
import { expect, test } from "bun:test";
import { LevelDB } from "../../src/leveldb/level-db.ts";
import { toUtf8 } from "../../src/lib/bytes.ts";
import { MemoryDisk } from "./memory-disk.ts";
import { MemoryTables } from "./memory-tables.ts";
import { MemoryWorkers } from "./memory-workers.ts";
import { eachSeed } from "./seed.ts";

const folder = "data/store";
const keys = 20_000;
const valueBytes = 200;
/** What all keys take in a file of their own: two fifths more than their bytes, with small pages and headers. */
const fileRatioMax = 1.4;

test("stays under two and a half times what is alive, however fast all of it is overwritten, and near it at rest", () => {
  eachSeed(1, (prng) => {
    const disk = new MemoryDisk();
    disk.createFolder("data");
    const tables = new MemoryTables(disk);
    const workers = new MemoryWorkers({ disk, tables });
    const store = LevelDB.open({ disk, tables, workers }, folder, {
      createIfMissing: true,
      memtableBytesMax: 1_000_000,
    });
    const live = keys * (valueBytes + 7);
    let index = 0;
    let peak = 0;
    const work = (): void => {
      workers.step();
      peak = Math.max(peak, Number(store.getProperty("kvraft.file-bytes")) / live);
    };
    const put = (key: number): void => {
      store.put(
        toUtf8(`k${String(key).padStart(6, "0")}`),
        new Uint8Array(valueBytes).fill(prng.int(0, 255)),
      );
      while (store.pressure === 1) work();
      if (store.isFull && store.canSeal) store.seal({ index: ++index, term: 1 });
    };
    for (let key = 0; key < keys; key++) put(key);
    for (let count = 0; count < 4 * keys; count++) put(prng.int(0, keys - 1));
    expect(peak).toBeGreaterThan(1);
    expect(peak).toBeLessThan(2.5);
    store.flush({ index: ++index, term: 1 });
    store.rest(true);
    workers.settle();
    expect(Number(store.getProperty("kvraft.file-bytes")) / live).toBeLessThan(fileRatioMax);
    store.close();
  });
});
