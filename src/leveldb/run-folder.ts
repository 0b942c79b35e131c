import type { Disk, DiskLock } from "../env/disk.ts";
import type { Tables } from "../env/tables.ts";
import type { Workers } from "../env/workers.ts";
import { assert } from "../lib/assert.ts";
import { KvraftError } from "../lib/error.ts";
import { BlockCache } from "./block-cache.ts";
import { corruption } from "./corruption.ts";
import {
  isRunName,
  lockPath,
  manifestPath,
  manifestTemporaryPath,
  runName,
  runPath,
} from "./folder-names.ts";
import {
  emptyManifest,
  filesOf,
  type Manifest,
  readManifest,
  type TableFile,
  writeManifest,
} from "./manifest.ts";
import { Run } from "./run.ts";
import { Table } from "./table.ts";

export interface StoreEnv {
  readonly disk: Disk;
  readonly tables: Tables;
  readonly workers: Workers;
}

/** Whether there is a store. Runs without a MANIFEST are CORRUPTION: they are somebody's data, never leftovers. */
export function storeExists(disk: Disk, folder: string): boolean {
  if (disk.exists(manifestPath(folder))) return true;
  const run = disk.list(folder).find(isRunName);
  if (run === undefined) return false;
  throw corruption(`open "${folder}"`, `it holds runs ("${run}") but no MANIFEST`);
}

/** LOCKED when another process has it. */
export function takeLock(env: StoreEnv, folder: string): DiskLock {
  const lock = env.disk.lock(lockPath(folder));
  if (lock === undefined)
    throw new KvraftError(
      "LOCKED",
      `Cannot open "${folder}": the folder is locked by another process; stop that process or choose another folder`,
    );
  return lock;
}

/** Makes an empty store in a folder that has none; durable once it was opened. */
export function createStore(disk: Disk, folder: string): void {
  writeManifest(disk, folder, emptyManifest);
}

/**
 * The files of a store as its readers see them: open, and held until MANIFEST names them no more and nobody reads
 * from them. Who changes the folder is the worker (upkeep.ts); here its reports are followed.
 */
export class RunFolder {
  readonly #tables: Tables;
  readonly #folder: string;
  readonly #cache: BlockCache;
  readonly #unneeded: (number: number) => void;
  readonly #open = new Map<number, Table>();
  #manifest: Manifest = emptyManifest;
  #runs: readonly Run[] = [];

  /**
   * Opens all files of a store that exists, and removes what a crash has left over. What is read here is durable
   * when it returns, also when its writer was killed before it could sync the names: the owner will drop its log up
   * to the applied entry, and a power cut must not bring an older MANIFEST back then. Nor before: the runs that the
   * older one names may be removed here. `unneeded` is told which files may be removed later.
   */
  static open(
    env: StoreEnv,
    folder: string,
    cache: BlockCache,
    report: (line: string) => void,
    unneeded: (number: number) => void,
  ): RunFolder {
    const manifest = readManifest(env.disk, folder);
    // Nothing is removed before everything that should be there was found.
    for (const file of filesOf(manifest)) checkFile(env.disk, folder, file);
    const runs = new RunFolder(env.tables, folder, cache, unneeded);
    try {
      runs.follow(manifest);
      env.disk.syncFolder(folder);
      removeOrphans(env.disk, folder, manifest, report);
    } catch (error) {
      runs.close();
      throw error;
    }
    return runs;
  }

  private constructor(tables: Tables, folder: string, cache: BlockCache, unneeded: (number: number) => void) {
    this.#tables = tables;
    this.#folder = folder;
    this.#cache = cache;
    this.#unneeded = unneeded;
  }

  get manifest(): Manifest {
    return this.#manifest;
  }

  /** Newest first. */
  get runs(): readonly Run[] {
    return this.#runs;
  }

  /** Memory that open files take for filters and indexes. */
  get residentBytes(): number {
    let bytes = 0;
    for (const table of this.#open.values()) bytes += table.residentBytes;
    return bytes;
  }

  /** Opens a file that a MANIFEST to come will name. Not always the next one: a flush may come in between. */
  prepare(file: TableFile): void {
    this.#openTable(file);
  }

  /** MANIFEST is this one now. Views that hold what it does not name keep it. */
  follow(manifest: Manifest): void {
    const present = new Map(filesOf(manifest).map((file) => [file.number, file]));
    const before = filesOf(this.#manifest);
    for (const file of present.values()) if (!this.#open.has(file.number)) this.#openTable(file);
    this.#manifest = manifest;
    this.#runs = manifest.runs.map((state) => new Run(state, (number) => this.#tableOf(number)));
    // What was only prepared stays: a later MANIFEST names it.
    for (const { number } of before) {
      const table = this.#open.get(number);
      if (present.has(number) || table === undefined) continue;
      this.#open.delete(number);
      table.release();
    }
  }

  /** The same, and what was only prepared will be named by none. */
  replace(manifest: Manifest): void {
    this.follow(manifest);
    const named = new Set(filesOf(manifest).map((file) => file.number));
    this.forget([...this.#open.keys()].filter((number) => !named.has(number)));
  }

  /** Lets go of files that were prepared, and that no MANIFEST will name. */
  forget(numbers: Iterable<number>): void {
    for (const number of numbers) {
      const table = this.#open.get(number);
      this.#open.delete(number);
      table?.release();
    }
  }

  close(): void {
    this.#runs = [];
    const tables = [...this.#open.values()];
    for (const table of tables) table.release();
    this.#open.clear();
  }

  #openTable(file: TableFile): void {
    const released = (table: Table): void => {
      if (this.#open.get(file.number) !== table) this.#unneeded(file.number);
    };
    this.#open.set(file.number, new Table(this.#tables, this.#folder, file, this.#cache, released));
  }

  #tableOf(number: number): Table {
    const table = this.#open.get(number);
    assert(table !== undefined, "what MANIFEST names is open");
    return table;
  }
}

function checkFile(disk: Disk, folder: string, file: TableFile): void {
  const path = runPath(folder, file.number);
  if (!disk.exists(path)) throw corruption(`open run "${path}"`, "it is missing, and MANIFEST names it");
  const bytes = sizeOf(disk, path);
  const found = `the file is damaged (it has ${bytes} bytes, MANIFEST names ${file.bytes})`;
  if (bytes !== file.bytes) throw corruption(`open run "${path}"`, found);
}

function removeOrphans(disk: Disk, folder: string, manifest: Manifest, report: (line: string) => void): void {
  const known = new Set(filesOf(manifest).map((file) => runName(file.number)));
  for (const name of disk.list(folder)) {
    if (!isRunName(name) || known.has(name)) continue;
    disk.remove(`${folder}/${name}`);
    report(`Removed "${folder}/${name}": a crash has left it unfinished or unneeded`);
  }
  disk.remove(manifestTemporaryPath(folder));
}

/**
 * Removes what a crash has left over in the folder of a store, if there is any, as an open does: for a full disk, before
 * anything else is done. Throws as `LevelDB.open` does, with nothing changed then.
 */
export function removeStoreLeftovers(env: StoreEnv, folder: string, report: (line: string) => void): void {
  if (!env.disk.exists(manifestPath(folder))) return;
  const named = new Set(filesOf(readManifest(env.disk, folder)).map((file) => runName(file.number)));
  const isLeftover = (name: string) => isRunName(name) && !named.has(name);
  if (!env.disk.exists(manifestTemporaryPath(folder)) && !env.disk.list(folder).some(isLeftover)) return;
  const lock = takeLock(env, folder);
  try {
    RunFolder.open(env, folder, new BlockCache(0), report, () => {}).close();
  } finally {
    lock.release();
  }
}

/** Removes the files of a store, and nothing else: runs first, so that no run is ever without its MANIFEST. */
export function removeStore(disk: Disk, folder: string): void {
  for (const name of disk.list(folder)) if (isRunName(name)) disk.remove(`${folder}/${name}`);
  disk.remove(manifestTemporaryPath(folder));
  disk.remove(manifestPath(folder));
  disk.syncFolder(folder);
}

function sizeOf(disk: Disk, path: string): number {
  const file = disk.open(path, "read");
  try {
    return file.size();
  } finally {
    file.close();
  }
}
