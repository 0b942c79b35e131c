/**
 * A process that writes to a store until it is killed: `bun kill-writer.ts <folder> <seed>`. It goes on where it finds
 * the store, and says on stdout, a line each, that it is open, and up to which write the store is durable.
 */
import { writeSync } from "node:fs";
import { Prng } from "../../src/env/prng.ts";
import { realEnv } from "../../src/env/real-env.ts";
import { LevelDB, type LevelDBOptions } from "../../src/leveldb/level-db.ts";
import { type Bytes, toUtf8 } from "../../src/lib/bytes.ts";

/** Small, so that a second has hundreds of flushes, and merges in many steps. */
export const options: LevelDBOptions = {
  createIfMissing: true,
  memtableBytesMax: 16 * 1024,
  tableBytesMax: 8 * 1024,
  runsMax: 3,
};

const keys = 300;

/** The write of a number: which key it puts or deletes is always the same. */
export function writeOf(number: number): { key: Bytes; value: Bytes | undefined } {
  const prng = new Prng(number);
  const key = toUtf8(`key ${prng.int(1, keys)}`);
  if (prng.chance(1, 5)) return { key, value: undefined };
  return { key, value: toUtf8(`${number} `.repeat(prng.int(1, 60))) };
}

async function main(folder: string, seed: number): Promise<void> {
  const prng = new Prng(seed);
  const store = LevelDB.open(realEnv(), folder, options);
  writeSync(1, "open\n");
  let told = store.applied.index;
  for (let number = store.sequence + 1; ; number++) {
    const { key, value } = writeOf(number);
    if (value === undefined) store.delete(key, number);
    else store.put(key, value, number);
    const applied = { index: number, term: 1 };
    if (store.isFull || prng.chance(1, 200)) {
      while (!store.canSeal) await Bun.sleep(0);
      store.seal(applied);
      await Bun.sleep(0);
    }
    if (prng.chance(1, 1000)) store.flush(applied);
    if (prng.chance(1, 5000)) store.compactRange();
    if (store.applied.index === told) continue;
    told = store.applied.index;
    writeSync(1, `durable ${told}\n`);
  }
}

if (import.meta.main) await main(process.argv[2]!, Number(process.argv[3]));
