import type { Disk } from "../env/disk.ts";
import type { Row, Tables } from "../env/tables.ts";
import { assert } from "../lib/assert.ts";
import { type Bytes, copyBytes, emptyBytes } from "../lib/bytes.ts";
import { DecodeError } from "../lib/codec.ts";
import { corruption } from "./corruption.ts";
import {
  isRunName,
  manifestPath,
  manifestTemporaryPath,
  parentOf,
  runName,
  runPath,
} from "./folder-names.ts";
import {
  type Applied,
  emptyManifest,
  type Manifest,
  type RunFile,
  readManifest,
  writeManifest,
} from "./manifest.ts";
import { mergeRows } from "./merge.ts";
import type { MergeRange } from "./merge-policy.ts";
import { compareRows, Run } from "./run.ts";

export interface StoreEnv {
  readonly disk: Disk;
  readonly tables: Tables;
}

/**
 * The folder of a store: its runs, and the MANIFEST that says which they are. Every change builds what is new, makes
 * it durable, replaces the MANIFEST, and only then lets go of what is old. So a crash at any moment leaves the state
 * before or the state after, and files that nobody names, which the next open removes.
 */
export class RunFolder {
  readonly #env: StoreEnv;
  readonly #folder: string;
  readonly #report: (line: string) => void;
  #manifest: Manifest;
  /** Newest first, in step with the MANIFEST's. */
  #runs: readonly Run[];
  #nextFile: number;
  /** The first failed change. What is on disk is not known since, so no other change is tried. */
  #failure: unknown;

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
   * applied entry, and a power cut must not bring an older MANIFEST back then.
   */
  static open(env: StoreEnv, folder: string, report: (line: string) => void): RunFolder {
    const manifest = readManifest(env.disk, folder);
    // Nothing is removed before everything that should be there was found.
    const runs = openRuns(env, folder, manifest.runs, report);
    removeOrphans(env.disk, folder, manifest, report);
    env.disk.syncFolder(folder);
    env.disk.syncFolder(parentOf(folder));
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

  /** Adds the rows of a memtable as the newest run; durable, with `sequence` and `applied`, when it returns. */
  add(rows: Iterable<Row>, sequence: number, applied: Applied): void {
    this.#change(() => {
      const isBottom = this.#runs.length === 0;
      const run = this.#build(mergeRows([rows], [], isBottom));
      this.#install(run === undefined ? this.#runs : [run, ...this.#runs], sequence, applied);
    });
  }

  /** Replaces adjacent runs by one with their content. Views that hold the old ones keep them. */
  merge({ from, to }: MergeRange): void {
    this.#change(() => {
      const inputs = this.#runs.slice(from, to);
      const isBottom = to === this.#runs.length;
      const output = this.#buildMerged(inputs, isBottom);
      const merged = output === undefined ? [] : [output];
      const runs = [...this.#runs.slice(0, from), ...merged, ...this.#runs.slice(to)];
      this.#install(runs, this.sequence, this.applied);
      const names = inputs.map((run) => runName(run.file.number)).join(" ");
      const rows =
        output === undefined ? "nothing" : `${runName(output.file.number)}, ${output.file.rows} rows`;
      this.#report(`Merged ${names} into ${rows}`);
      for (const run of inputs) {
        run.drop();
        run.release();
      }
    });
  }

  close(): void {
    for (const run of this.#runs) run.release();
    this.#runs = [];
  }

  #change(change: () => void): void {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      change();
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }

  #buildMerged(inputs: readonly Run[], isBottom: boolean): Run | undefined {
    try {
      return this.#build(
        mergeRows(
          inputs.map((run) => run.rows()),
          [],
          isBottom,
        ),
      );
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      const paths = inputs.map((run) => `"${run.path}"`).join(", ");
      throw corruption(`merge runs ${paths}`, `one of them is damaged (${error.message})`, error);
    }
  }

  /** A new run of the rows, durable in content and name; undefined when there are none. */
  #build(rows: IterableIterator<Row>): Run | undefined {
    const first = rows.next();
    if (first.done === true) return undefined;
    const number = this.#nextFile++;
    const path = runPath(this.#folder, number);
    const tally = new Tally();
    this.#env.tables.build(path, tally.count(first.value, rows));
    this.#env.disk.syncFolder(this.#folder);
    const file = tally.file(number, sizeOf(this.#env.disk, path));
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

/** Learns from the rows that pass what MANIFEST says about a run. */
class Tally {
  #rows = 0;
  #smallest: Bytes = emptyBytes;
  #largest: Bytes = emptyBytes;
  #sequenceMin = Infinity;
  #sequenceMax = 0;

  *count(first: Row, rest: Iterable<Row>): IterableIterator<Row> {
    this.#smallest = copyBytes(first.key);
    this.#add(first);
    yield first;
    let previous = first;
    for (const row of rest) {
      assert(compareRows(previous, row) < 0, "rows go into a run in order");
      previous = row;
      this.#add(row);
      yield row;
    }
    this.#largest = copyBytes(previous.key);
  }

  file(number: number, bytes: number): RunFile {
    assert(this.#rows > 0, "a run has rows");
    return {
      number,
      rows: this.#rows,
      bytes,
      smallest: this.#smallest,
      largest: this.#largest,
      sequenceMin: this.#sequenceMin,
      sequenceMax: this.#sequenceMax,
    };
  }

  #add(row: Row): void {
    this.#rows++;
    if (row.sequence < this.#sequenceMin) this.#sequenceMin = row.sequence;
    if (row.sequence > this.#sequenceMax) this.#sequenceMax = row.sequence;
  }
}
