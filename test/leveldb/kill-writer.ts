/**
 * A process that writes to a store until it is killed: `bun kill-writer.ts <folder> <seed>`. It goes on where it finds
 * the store, and says on stdout, a line each, that it is open, and up to which write the store is durable. Now and then it
 * leaves out some hundred writes, and installs the state behind them.
 */
import { writeSync } from "node:fs";
import { Prng } from "../../src/env/prng.ts";
import { realEnv } from "../../src/env/real-env.ts";
import { LevelDB, type LevelDBOptions } from "../../src/leveldb/level-db.ts";
import { RowChunkWriter } from "../../src/leveldb/row-chunk.ts";
import { type Bytes, concatBytes, fromUtf8, toUtf8 } from "../../src/lib/bytes.ts";
import { compareRows, putBytes } from "./rows.ts";

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

/** What is there as of a write. */
class Content {
  readonly #live = new Map<string, { value: Bytes; created: number; count: number; sequence: number }>();

  add(number: number): void {
    const { key, value } = writeOf(number);
    const name = fromUtf8(key);
    const known = this.#live.get(name);
    if (value === undefined) this.#live.delete(name);
    else {
      const [created, count] = [known?.created ?? number, (known?.count ?? 0) + 1];
      this.#live.set(name, { value, created, count, sequence: number });
    }
  }

  *chunks(bytesMax: number): IterableIterator<Bytes> {
    const writer = new RowChunkWriter();
    const rows = Array.from(this.#live, ([name, { sequence, ...record }]) =>
      putBytes(toUtf8(name), sequence, { ...record, isComplete: true }),
    );
    for (const { key, record, sequence } of rows.sort(compareRows)) {
      writer.add(concatBytes([key, record]), 0, key.length, key.length + record.length, sequence);
      if (writer.length >= bytesMax) yield writer.take(bytesMax);
    }
    while (writer.length > 0) yield writer.take(bytesMax);
  }
}

async function install(store: LevelDB, content: Content, sequence: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const install = store.beginInstall({ consumed: () => {}, installed: resolve, refused: reject });
    for (const chunk of content.chunks(2000)) install.add(chunk);
    install.finish({ sequence, applied: { index: sequence, term: 1 } });
  });
}

async function main(folder: string, seed: number): Promise<void> {
  const prng = new Prng(seed);
  const store = LevelDB.open(realEnv(), folder, options);
  writeSync(1, "open\n");
  const content = new Content();
  for (let number = 1; number <= store.sequence; number++) content.add(number);
  let told = store.applied.index;
  for (let number = store.sequence + 1; ; number++) {
    content.add(number);
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
    if (prng.chance(1, 400)) {
      for (let missed = prng.int(1, 300); missed > 0; missed--) content.add(++number);
      await install(store, content, number);
      writeSync(1, `installed ${number}\n`);
    }
    if (store.applied.index === told) continue;
    told = store.applied.index;
    writeSync(1, `durable ${told}\n`);
  }
}

if (import.meta.main) await main(process.argv[2]!, Number(process.argv[3]));
