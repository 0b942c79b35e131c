import type { Disk } from "../env/disk.ts";
import type { TableBuilder, Tables } from "../env/tables.ts";
import { assert } from "../lib/assert.ts";
import { corruption } from "./corruption.ts";
import { isRunName, manifestPath, manifestTemporaryPath, runName, runPath } from "./folder-names.ts";
import {
  type Applied,
  emptyManifest,
  type Manifest,
  type RunFile,
  readManifest,
  writeManifest,
} from "./manifest.ts";
import { Run } from "./run.ts";
import type { RunPlace } from "./run-builder.ts";

export interface StoreEnv {
  readonly disk: Disk;
  readonly tables: Tables;
}

/**
 * The folder of a store: its runs, and the MANIFEST that says which they are. Every change takes what is new and
 * durable, replaces the MANIFEST, and only then lets go of what is old. After one that failed, what is on disk is not
 * known, and no other may follow. So a crash at any moment leaves the state
 * before or the state after, and files that nobody names, which the next open removes.
 */
export class RunFolder implements RunPlace {
  readonly #env: StoreEnv;
  readonly #folder: string;
  readonly #report: (line: string) => void;
  #manifest: Manifest;
  /** Newest first, in step with the MANIFEST's. */
  #runs: readonly Run[];
  #nextFile: number;

  /** Whether there is a store. Runs without a MANIFEST are CORRUPTION: they are somebody's data, never leftovers. */
  static exists(disk: Disk, folder: string): boolean {
    if (disk.exists(manifestPath(folder))) return true;
    const run = disk.list(folder).find(isRunName);
    if (run === undefined) return false;
    throw corruption(`open "${folder}"`, `it holds runs ("${run}") but no MANIFEST`);
  }

  /** Makes an empty store in a folder that has none; durable once it was opened. */
  static create(env: StoreEnv, folder: string): void {
    writeManifest(env.disk, folder, emptyManifest);
  }

  /**
   * Opens all runs of a store that exists, and removes what a crash has left over. What is read here is durable when
   * it returns, also when its writer was killed before it could sync the names: the owner will drop its log up to the
   * applied entry, and a power cut must not bring an older MANIFEST back then. Nor before: the runs that the older one
   * names may be removed here.
   */
  static open(env: StoreEnv, folder: string, report: (line: string) => void): RunFolder {
    const manifest = readManifest(env.disk, folder);
    // Nothing is removed before everything that should be there was found.
    const runs = openRuns(env, folder, manifest.runs, report);
    env.disk.syncFolder(folder);
    removeOrphans(env.disk, folder, manifest, report);
    return new RunFolder(env, folder, manifest, runs, report);
  }

  private constructor(
    env: StoreEnv,
    folder: string,
    manifest: Manifest,
    runs: readonly Run[],
    report: (line: string) => void,
  ) {
    this.#env = env;
    this.#folder = folder;
    this.#manifest = manifest;
    this.#runs = runs;
    this.#nextFile = manifest.nextFile;
    this.#report = report;
  }

  /** Newest first. */
  get runs(): readonly Run[] {
    return this.#runs;
  }

  get sequence(): number {
    return this.#manifest.sequence;
  }

  get applied(): Applied {
    return this.#manifest.applied;
  }

  /** Begins the file of a new run. */
  begin(): { number: number; table: TableBuilder } {
    const number = this.#nextFile++;
    return { number, table: this.#env.tables.begin(runPath(this.#folder, number)) };
  }

  /** Bytes in the file of a run. */
  sizeOf(number: number): number {
    return sizeOf(this.#env.disk, runPath(this.#folder, number));
  }

  /** Adds the newest run, if there is one; its name is durable, with `sequence` and `applied`, when it returns. */
  add(file: RunFile | undefined, sequence: number, applied: Applied): void {
    const added = file === undefined ? [] : [this.#open(file)];
    this.#install([...added, ...this.#runs], sequence, applied);
  }

  /** Replaces adjacent runs by one with their content, or by nothing. Views that hold the old ones keep them. */
  replace(inputs: readonly Run[], file: RunFile | undefined): void {
    const from = this.#runs.indexOf(inputs[0]!);
    const to = from + inputs.length;
    assert(
      from >= 0 && inputs.every((run, at) => run === this.#runs[from + at]),
      "what is merged lies side by side",
    );
    const merged = file === undefined ? [] : [this.#open(file)];
    const runs = [...this.#runs.slice(0, from), ...merged, ...this.#runs.slice(to)];
    this.#install(runs, this.sequence, this.applied);
    const names = inputs.map((run) => runName(run.file.number)).join(" ");
    const rows = file === undefined ? "nothing" : `${runName(file.number)}, ${file.rows} rows`;
    this.#report(`Merged ${names} into ${rows}`);
    for (const run of inputs) {
      run.drop();
      run.release();
    }
  }

  close(): void {
    for (const run of this.#runs) run.release();
    this.#runs = [];
  }

  /** A run whose content is durable: now its name is, too. */
  #open(file: RunFile): Run {
    this.#env.disk.syncFolder(this.#folder);
    return new Run(this.#env, this.#folder, file, this.#report);
  }

  #install(runs: readonly Run[], sequence: number, applied: Applied): void {
    const files = runs.map((run) => run.file);
    const manifest = { nextFile: this.#nextFile, sequence, applied, runs: files };
    writeManifest(this.#env.disk, this.#folder, manifest);
    this.#manifest = manifest;
    this.#runs = runs;
  }
}

function openRuns(
  env: StoreEnv,
  folder: string,
  files: readonly RunFile[],
  report: (line: string) => void,
): Run[] {
  const runs: Run[] = [];
  try {
    for (const file of files) {
      checkFile(env.disk, folder, file);
      runs.push(new Run(env, folder, file, report));
    }
  } catch (error) {
    for (const run of runs) run.release();
    throw error;
  }
  return runs;
}

function checkFile(disk: Disk, folder: string, file: RunFile): void {
  const path = runPath(folder, file.number);
  if (!disk.exists(path)) throw corruption(`open run "${path}"`, "it is missing, and MANIFEST names it");
  const bytes = sizeOf(disk, path);
  const found = `the file is damaged (it has ${bytes} bytes, MANIFEST names ${file.bytes})`;
  if (bytes !== file.bytes) throw corruption(`open run "${path}"`, found);
}

function removeOrphans(disk: Disk, folder: string, manifest: Manifest, report: (line: string) => void): void {
  const known = new Set(manifest.runs.map((run) => runName(run.number)));
  for (const name of disk.list(folder)) {
    if (!isRunName(name) || known.has(name)) continue;
    disk.remove(`${folder}/${name}`);
    report(`Removed "${folder}/${name}": a crash has left it unfinished or unneeded`);
  }
  disk.remove(manifestTemporaryPath(folder));
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
