/**
 * MANIFEST and runs of a store, damaged, on a memory disk and in real SQLite files, at rest and amid merges: every answer is right or
 * refused, since each block says where it belongs.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BunDisk } from "../../src/env/bun-disk.ts";
import type { Disk } from "../../src/env/disk.ts";
import type { Prng } from "../../src/env/prng.ts";
import { SqliteTables } from "../../src/env/sqlite-tables.ts";
import type { Tables } from "../../src/env/tables.ts";
import { LevelDB, type LevelDBOptions } from "../../src/leveldb/level-db.ts";
import type { Applied } from "../../src/leveldb/manifest.ts";
import type { StoreEnv } from "../../src/leveldb/run-folder.ts";
import { type Bytes, toHex } from "../../src/lib/bytes.ts";
import { KvraftError } from "../../src/lib/error.ts";
import { MemoryDisk } from "../leveldb/memory-disk.ts";
import { MemoryTables } from "../leveldb/memory-tables.ts";
import { MemoryWorkers } from "../leveldb/memory-workers.ts";
import { damage, type Files } from "./file-damage.ts";
import { ensure, ensureEqual, type FuzzTarget, withinMemory } from "./fuzzer.ts";
import { randomBytes } from "./mutate.ts";
import { scratchFolder } from "./scratch.ts";

/** Where a store stands: a way to begin with these files, and to see those that are there. */
interface Place {
  readonly env: StoreEnv & { readonly workers: MemoryWorkers };
  readonly folder: string;
  files(): Map<string, Bytes>;
  remove(): void;
}

/** What was ever written for a key, the newest at the end; undefined is a deletion. */
type History = Map<string, { readonly key: Bytes; readonly values: (Bytes | undefined)[] }>;

interface Written {
  readonly history: History;
  /** What MANIFEST says, which has a checksum. */
  readonly applied: Applied;
  readonly sequence: number;
}

/** The store's worker works when it is waited for. */
function envOf(disk: Disk, tables: Tables): Place["env"] {
  return { disk, tables, workers: new MemoryWorkers({ disk, tables }) };
}

function memoryPlace(files: Files): Place {
  const disk = new MemoryDisk();
  const folder = "store";
  disk.createFolder(folder);
  for (const [name, bytes] of files) disk.open(`${folder}/${name}`, "create").write(0, bytes);
  return {
    env: envOf(disk, new MemoryTables(disk)),
    folder,
    files: () =>
      new Map(
        disk
          .list(folder)
          .filter((name) => name !== "LOCK")
          .map((name) => [name, disk.read(`${folder}/${name}`) ?? new Uint8Array(0)]),
      ),
    remove: () => {},
  };
}

let placeCount = 0;

function realPlace(files: Files): Place {
  const folder = join(scratchFolder(), String(placeCount++));
  mkdirSync(folder);
  for (const [name, bytes] of files) writeFileSync(join(folder, name), bytes);
  return {
    env: envOf(new BunDisk(), new SqliteTables()),
    folder,
    files: () =>
      new Map(
        readdirSync(folder)
          .filter((name) => !name.startsWith("LOCK"))
          .map((name) => [name, new Uint8Array(readFileSync(join(folder, name)))]),
      ),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** A store of a few runs, closed, some of them amid merges, and what was written into it. */
function writeStore(prng: Prng, place: Place): Written {
  const history: History = new Map();
  const keys = Array.from({ length: prng.int(1, 30) }, (_, at) =>
    Uint8Array.of(at, ...randomBytes(prng, prng.pick([0, 3, 200]))),
  );
  const store = LevelDB.open(place.env, place.folder, {
    createIfMissing: true,
    runsMax: prng.int(2, 6),
    tableBytesMax: prng.pick([400, 3000, 1 << 20]),
  });
  const valueBytes = prng.pick([1, 40, 700]);
  for (let flushes = prng.int(1, prng.pick([5, 5, 11])), index = 1; flushes > 0; flushes--, index++) {
    for (let writes = prng.int(1, 30); writes > 0; writes--) {
      const key = prng.pick(keys);
      const known = history.get(toHex(key)) ?? { key, values: [] };
      history.set(toHex(key), known);
      // Values of one length, so that runs of one size are frequent, and each of its own.
      const value = prng.chance(1, 8) ? undefined : bytesOf(prng, valueBytes);
      known.values.push(value);
      if (value === undefined) store.delete(key);
      else store.put(key, value);
    }
    store.flush({ index, term: 1 });
    for (let steps = prng.pick([0, 0, 1, 4, 15]); steps > 0; steps--) place.env.workers.step();
  }
  const { applied, sequence } = store;
  store.close();
  return { history, applied, sequence };
}

/** Opens a damaged store and asks it everything; a merge of all runs comes last. */
function readStore(place: Place, { history, applied, sequence }: Written): void {
  const store = LevelDB.open(place.env, place.folder, { runsMax: 1, tableBytesMax: 3000 });
  try {
    ensureEqual(store.applied, applied, "a store knows up to where the log is applied");
    ensure(store.sequence === sequence, "a store knows its last sequence number");
    for (const known of history.values()) {
      judge(known.key, store.get(known.key), history);
      judge(known.key, store.getRecord(known.key)?.value, history);
    }
    scan(store, history);
    const key = Uint8Array.of(255);
    store.put(key, key);
    store.flush({ index: 1000, term: 1 });
    ensureEqual(store.get(key), key, "a store takes a new key");
    const more = new Map(history).set(toHex(key), { key, values: [key] });
    scan(store, more);
    store.compactRange();
    scan(store, more);
  } finally {
    store.close();
  }
}

/** From both ends: the keys in order, with their values. */
function scan(store: LevelDB, history: History): void {
  const seen: string[] = [];
  const iterator = store.newIterator();
  for (iterator.seekToFirst(); iterator.valid(); iterator.next()) {
    judge(iterator.key(), iterator.value(), history);
    seen.push(toHex(iterator.key()));
    ensure(seen.length <= history.size, "a scan ends");
  }
  const backwards: string[] = [];
  for (iterator.seekToLast(); iterator.valid(); iterator.prev()) {
    judge(iterator.key(), iterator.value(), history);
    backwards.push(toHex(iterator.key()));
    ensure(backwards.length <= history.size, "a scan backwards ends");
  }
  iterator.close();
  const live = [...history].filter(([, { values }]) => values.at(-1) !== undefined).map(([key]) => key);
  ensureEqual(seen, live.toSorted(), "a scan yields the keys that are there");
  ensureEqual(backwards, live.toSorted().toReversed(), "a scan backwards yields the keys that are there");
}

function judge(key: Bytes, found: Bytes | undefined, history: History): void {
  const values = history.get(toHex(key))?.values;
  ensure(values !== undefined, `the key ${toHex(key)} was written`);
  ensure(Bun.deepEquals(values.at(-1), found), `the key ${toHex(key)} has the value that was written last`);
}

const codes = ["CORRUPTION", "FORMAT", "NOT_FOUND"];

function runCase(prng: Prng, makePlace: (files: Files) => Place, rounds: number): void {
  const whole = makePlace(new Map());
  const written = writeStore(prng, whole);
  const pristine = whole.files();
  for (let round = 0; round < rounds; round++) {
    const { files, story } = damage(prng, pristine, () => copyName(prng));
    const place = makePlace(files);
    const isRefused = refusalOf(story, () => LevelDB.open(place.env, place.folder, quiet).close());
    if (isRefused) {
      ensureEqual(place.files(), files, `a store that is refused is left as it is (${story})`);
      place.remove();
      continue;
    }
    const bytes = [...files.values()].reduce((sum, content) => sum + content.length, 0);
    refusalOf(story, () =>
      withinMemory(bytes + written.history.size * 64 * 1024, () => readStore(place, written)),
    );
    place.remove();
  }
  whole.remove();
}

const quiet: LevelDBOptions = { runsMax: 100 };

/** Whether it was refused; with one of the codes that the store's interface names. */
function refusalOf(story: string, run: () => void): boolean {
  try {
    run();
    return false;
  } catch (error) {
    if (error instanceof KvraftError) {
      ensure(codes.includes(error.code), `a store is refused as ${error.code}: ${error.message} (${story})`);
      return true;
    }
    if (error instanceof Error) error.message += ` (${story})`;
    throw error;
  }
}

function copyName(prng: Prng): string {
  return prng.pick(["MANIFEST.new", "MANIFEST.bak", `00000${prng.int(0, 9)}.run`]);
}

/** On a memory disk. */
export const storeTarget: FuzzTarget = {
  name: "store",
  run: (prng) => runCase(prng, memoryPlace, 6),
};

/** On the real one. */
export const sqliteTarget: FuzzTarget = {
  name: "sqlite",
  run: (prng) => runCase(prng, realPlace, 2),
};

function bytesOf(prng: Prng, length: number): Bytes {
  return new Uint8Array(length).map(() => prng.int(0, 255));
}
