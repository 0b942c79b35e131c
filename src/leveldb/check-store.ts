/**
 * Looks at a whole store that is not open, and changes nothing: MANIFEST, every block and every row of every file that
 * it names, and whether reads would find them. Unlike an open it does not end at the first damage.
 */
import type { Disk } from "../env/disk.ts";
import type { Tables } from "../env/tables.ts";
import { compareBytes } from "../lib/bytes.ts";
import { KvraftError } from "../lib/error.ts";
import { type Finding, type Progress, problemOf } from "../lib/examination.ts";
import { checkTable } from "./check-table.ts";
import {
  isRunName,
  lockPath,
  manifestPath,
  manifestTemporaryPath,
  runName,
  runPath,
} from "./folder-names.ts";
import { filesOf, type Manifest, type RunState, readManifest, type TableFile } from "./manifest.ts";
import { keyForPeople } from "./table.ts";
import { metaBlocks } from "./table-footer.ts";

/** What MANIFEST says is there. */
export interface StoreSummary {
  readonly sequence: number;
  readonly applied: Manifest["applied"];
  readonly logStart: Manifest["logStart"];
  readonly runs: number;
  readonly files: number;
  readonly rows: number;
  readonly bytes: number;
  /** Merges that a start goes on with. */
  readonly merges: number;
}

export interface StoreCheck {
  readonly findings: readonly Finding[];
  /** Files that the next open removes: a crash has left them unfinished or unneeded. */
  readonly leftovers: readonly string[];
  /** Files that are none of the store's. */
  readonly strangers: readonly string[];
  /** Undefined when there is no MANIFEST that can be read. */
  readonly store: StoreSummary | undefined;
}

export interface CheckEnv {
  readonly disk: Disk;
  readonly tables: Tables;
}

/** Throws what a disk throws that does not let the folder be listed, and nothing else that a file can cause. */
export function* checkStore(env: CheckEnv, folder: string): Generator<Progress, StoreCheck> {
  const findings: Finding[] = [];
  const names = env.disk.list(folder);
  const manifest = findManifest(env.disk, folder, names, findings);
  if (manifest !== undefined) {
    checkRuns(manifest, folder, findings);
    yield* checkFiles(env, folder, manifest, findings);
  }
  return { findings, ...othersOf(folder, names, manifest), store: manifest && summaryOf(manifest) };
}

function findManifest(
  disk: Disk,
  folder: string,
  names: readonly string[],
  findings: Finding[],
): Manifest | undefined {
  const file = manifestPath(folder);
  const runs = names.filter(isRunName).length;
  try {
    return readManifest(disk, folder);
  } catch (error) {
    if (!(error instanceof KvraftError)) throw error;
    const wanted = error.code === "FORMAT" ? "a format that this program knows" : "a whole MANIFEST";
    if (error.code !== "NOT_FOUND")
      findings.push({ code: error.code, file, found: problemOf(error), wanted });
    // Runs are somebody's data, never leftovers.
    else if (runs > 0)
      findings.push({
        code: "CORRUPTION",
        file,
        found: "no such file",
        wanted: `the MANIFEST of ${runs === 1 ? "the run" : `the ${runs} runs`} beside it`,
      });
    return undefined;
  }
}

function summaryOf(manifest: Manifest): StoreSummary {
  const files = filesOf(manifest);
  return {
    sequence: manifest.sequence,
    applied: manifest.applied,
    logStart: manifest.logStart,
    runs: manifest.runs.length,
    files: files.length,
    rows: files.reduce((sum, file) => sum + file.rows, 0),
    bytes: files.reduce((sum, file) => sum + file.bytes, 0),
    merges: manifest.merges.length,
  };
}

/** What stands in the folder that MANIFEST does not name. Without a MANIFEST nobody can tell. */
function othersOf(
  folder: string,
  names: readonly string[],
  manifest: Manifest | undefined,
): Pick<StoreCheck, "leftovers" | "strangers"> {
  const leftovers: string[] = [];
  const strangers: string[] = [];
  const known = new Set(manifest && filesOf(manifest).map((file) => runPath(folder, file.number)));
  known.add(manifestPath(folder));
  for (const name of names) {
    const path = `${folder}/${name}`;
    // A system may keep more than one file for a lock.
    if (known.has(path) || path.startsWith(lockPath(folder))) continue;
    if (path === manifestTemporaryPath(folder)) leftovers.push(path);
    else if (!isRunName(name)) strangers.push(path);
    else if (manifest !== undefined) leftovers.push(path);
  }
  return { leftovers, strangers };
}

// ---- MANIFEST in itself ----

/** What no store writes. Its checksum holds, so a mistake of a program stands behind it, and not a disk. */
function checkRuns(manifest: Manifest, folder: string, findings: Finding[]): void {
  const { runs, merges, nextNumber, applied, logStart } = manifest;
  const find = (found: string, wanted: string) =>
    findings.push({ code: "CORRUPTION", file: manifestPath(folder), found, wanted });
  const numbers = [...runs.map(({ id }) => id), ...filesOf(manifest).map((file) => file.number)];
  if (logStart.index > applied.index || logStart.term > applied.term)
    find(
      `an installed state up to entry ${logStart.index} of term ${logStart.term}`,
      `one up to the applied entry at the most, ${applied.index} of term ${applied.term}`,
    );
  for (const number of duplicatesOf(numbers))
    find(`the number ${number} twice`, "a number of its own for each");
  for (const number of numbers)
    if (number >= nextNumber) find(`the number ${number}`, `numbers below the next one, ${nextNumber}`);
  for (const run of runs) checkParts(run, find);
  for (const { inputs, output } of merges) {
    const from = Math.max(...inputs.map((id) => runs.findIndex((run) => run.id === id)));
    const into = runs.findIndex((run) => run.id === output);
    const areThere = into >= 0 && inputs.every((id) => runs.some((run) => run.id === id));
    if (!areThere || from >= into)
      find(
        `a merge of runs ${inputs.join(", ")} into run ${output}`,
        "runs that are there, the output behind them",
      );
    else checkMerge(inputs, runs, runs[into]!, find);
  }
}

type Find = (found: string, wanted: string) => void;

function checkParts({ id, parts }: RunState, find: Find): void {
  for (const [at, { file, from }] of parts.entries()) {
    const name = runName(file.number);
    if (compareBytes(file.smallest, file.largest) > 0 || (from && compareBytes(from, file.largest) > 0))
      find(`no key between the ends of "${name}"`, "files with keys");
    const next = parts[at + 1]?.file;
    if (next !== undefined && compareBytes(file.largest, next.smallest) >= 0)
      find(
        `"${name}" up to ${keyForPeople(file.largest)} and "${runName(next.number)}" from ` +
          `${keyForPeople(next.smallest)} on, both in run ${id}`,
        "files of a run that do not overlap",
      );
  }
}

/** What was moved into the output is left in no input. */
function checkMerge(
  inputs: readonly number[],
  runs: readonly RunState[],
  output: RunState,
  find: Find,
): void {
  const moved = output.parts.at(-1)?.file.largest;
  if (moved === undefined) return;
  for (const run of runs) {
    const first = run.parts[0];
    if (!inputs.includes(run.id) || first === undefined) continue;
    if (compareBytes(first.from ?? first.file.smallest, moved) <= 0)
      find(
        `run ${run.id} from ${keyForPeople(first.from ?? first.file.smallest)} on, while it is merged into run ` +
          `${output.id}, which goes up to ${keyForPeople(moved)}`,
        "keys in one of the two only",
      );
  }
}

function duplicatesOf(numbers: readonly number[]): Set<number> {
  const seen = new Set<number>();
  const duplicates = new Set<number>();
  for (const number of numbers) {
    if (seen.has(number)) duplicates.add(number);
    seen.add(number);
  }
  return duplicates;
}

// ---- files ----

function* checkFiles(
  { disk, tables }: CheckEnv,
  folder: string,
  manifest: Manifest,
  findings: Finding[],
): Generator<Progress> {
  const files = filesOf(manifest);
  const total = files.reduce((sum, file) => sum + file.bytes, 0);
  let before = 0;
  for (const file of files) {
    const path = runPath(folder, file.number);
    if (isThere(disk, path, file, findings))
      for (const blocks of checkTable(tables, path, file, manifest.sequence, findings))
        yield { done: before + Math.round((file.bytes * blocks) / file.blocks), total };
    before += file.bytes;
    yield { done: before, total };
  }
}

/** Whether there is something to look into. */
function isThere(disk: Disk, path: string, file: TableFile, findings: Finding[]): boolean {
  const { bytes, blocks } = file;
  const find = (found: string, wanted: string, code: Finding["code"] = "CORRUPTION") =>
    findings.push({ code, file: path, found, wanted });
  try {
    if (!disk.exists(path)) {
      find("no such file", "the file that MANIFEST names");
      return false;
    }
    const found = sizeOf(disk, path);
    if (found !== bytes) find(`${found} bytes`, `${bytes} bytes, as MANIFEST says`);
    if (blocks > metaBlocks) return found > 0;
    find(`${blocks} blocks, as MANIFEST says`, `more than ${metaBlocks}`);
  } catch (error) {
    if (!(error instanceof KvraftError)) throw error;
    find(problemOf(error), "a file that can be read", error.code);
  }
  return false;
}

function sizeOf(disk: Disk, path: string): number {
  const file = disk.open(path, "read");
  try {
    return file.size();
  } finally {
    file.close();
  }
}
