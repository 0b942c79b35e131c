import type { WorkerEnv, WorkerPace, WorkerService } from "../env/workers.ts";
import { assert, unreachable } from "../lib/assert.ts";
import { compareBytes } from "../lib/bytes.ts";
import { DecodeError } from "../lib/codec.ts";
import { KvraftError } from "../lib/error.ts";
import { runPath } from "./folder-names.ts";
import { InstallBuild } from "./install-build.ts";
import type { InstallOrder, InstallReport, InstallState } from "./install-messages.ts";
import { estimateLive, type KeySample } from "./key-sample.ts";
import {
  filesOf,
  type Manifest,
  type MergeState,
  type RunPart,
  type RunState,
  type TableFile,
  writeManifest,
} from "./manifest.ts";
import type { MemtableParts } from "./memtable.ts";
import { EntryMemory } from "./memtable-entry.ts";
import { pickMerge } from "./merge-policy.ts";
import { MemtableSource, RunSource } from "./row-source.ts";
import { RunBuild } from "./run-build.ts";
import type { BuiltFile } from "./run-writer.ts";
import { Table } from "./table.ts";
import { noWork, type UpkeepOptions, type UpkeepOrder, type UpkeepReport } from "./upkeep-messages.ts";

/** Keys that a step of a merge moves at the most, also when nothing of them is left. */
const keysPerStepMax = 1_000_000;
/** Garbage that is put up with: while much is written, and while nobody writes much. */
const spaceRatioBusy = 1.5;
const spaceRatioResting = 1.1;
/** What merges read for each byte of a flush while there is too much garbage. */
const mergedPerFlushed = 3;
/** So many notes, or the estimate says nothing; and so many, or the store is too small for anybody to wait for its space. */
const notesMin = 16;
const notesToPayMin = 64;

interface Flush {
  readonly parts: MemtableParts;
  readonly sequence: number;
  readonly applied: Manifest["applied"];
  readonly historyFloor: number;
}

interface MergeStep {
  readonly merge: MergeState;
  readonly sources: readonly RunSource[];
  readonly build: RunBuild;
}

/**
 * The store's worker: it makes runs of sealed memtables, merges runs, replaces MANIFEST and removes files. A merge
 * goes in steps of one file each, and MANIFEST tells after each how far it has come, so that it needs little space
 * and goes on after a crash. A flush goes before a merge, also in the middle of a step. After a failure nothing more
 * is tried: what is on disk is not known then.
 */
export class Upkeep implements WorkerService {
  readonly #env: WorkerEnv;
  readonly #send: (report: UpkeepReport) => void;
  #folder = "";
  #options: UpkeepOptions = { tableBytesMax: 0, runsMax: 0 };
  #manifest: Manifest | undefined;
  #nextNumber = 0;
  /** By number, of every file that MANIFEST names. */
  readonly #samples = new Map<number, KeySample>();
  readonly #flushes: Flush[] = [];
  #flush: { readonly flush: Flush; readonly build: RunBuild } | undefined;
  #step: MergeStep | undefined;
  /** Another state that comes in. */
  #incoming: InstallBuild | undefined;
  #isResting = false;
  /** Whether garbage takes more space than is put up with, in a store that is large enough to know. */
  #isShortOfSpace = false;
  /** Bytes that merges have to read before the next flush. */
  #owedBytes = 0;
  /**
   * Whether a merge of everything was asked for, and waits for the merges under way; and the output of the one
   * that was.
   */
  #isCompacting = false;
  #compaction: number | undefined;
  #spaceRatio = 1;
  #hasFailed = false;
  readonly #work = { ...noWork };

  constructor(env: WorkerEnv, send: (report: UpkeepReport) => void) {
    this.#env = env;
    this.#send = send;
  }

  receive(message: unknown): void {
    // Only the store speaks to its worker, and it speaks this.
    const order = message as UpkeepOrder;
    this.#guard(() => this.#receive(order));
  }

  work(): WorkerPace {
    let pace: WorkerPace = "idle";
    const beganMs = this.#env.monotonicMs();
    this.#guard(() => {
      if (this.#manifest === undefined) return;
      // What is stored and merged now is dropped in a moment.
      if (this.#incoming?.isFinishing === true) {
        this.#takeSome(this.#incoming);
        pace = "busy";
      } else if (this.#flush !== undefined || (this.#flushes.length > 0 && !this.#owesMerging())) {
        this.#flushSome();
        this.#work.flushMs += this.#env.monotonicMs() - beganMs;
        pace = "busy";
      } else if (this.#flushes.length === 0 && this.#incoming?.hasWork === true) {
        this.#takeSome(this.#incoming);
        pace = "busy";
      } else if (this.#mergeSome()) {
        this.#work.mergeMs += this.#env.monotonicMs() - beganMs;
        pace = this.#isUrgent ? "busy" : "gentle";
      }
    });
    return this.#hasFailed ? "idle" : pace;
  }

  /** Drops what is under way. Files that stay behind are removed at the next open. */
  end(): void {
    this.#flush?.build.abandon();
    this.#flush = undefined;
    this.#abandonStep();
    this.#incoming?.abandon();
    this.#incoming = undefined;
  }

  #receive(order: UpkeepOrder): void {
    switch (order.kind) {
      case "begin":
        return this.#begin(order.folder, order.manifest, order.options);
      case "flush":
        this.#flushes.push(order);
        return;
      case "remove":
        return this.#remove(order.number);
      case "compact":
        this.#isCompacting = true;
        return;
      case "rest":
        this.#isResting = order.isResting;
        return;
      case "install":
        return this.#receiveInstall(order);
      default:
        unreachable(order);
    }
  }

  #begin(folder: string, manifest: Manifest, options: UpkeepOptions): void {
    this.#folder = folder;
    this.#options = options;
    this.#manifest = manifest;
    this.#nextNumber = manifest.nextNumber;
    for (const file of filesOf(manifest)) {
      const table = this.#open(file);
      this.#samples.set(file.number, table.footer.sample);
      table.release();
    }
    this.#estimate();
  }

  /** Readers have no part in a file that cannot be removed: the next open tries again. */
  #remove(number: number): void {
    try {
      this.#env.disk.remove(runPath(this.#folder, number));
    } catch (error) {
      if (!(error instanceof KvraftError)) throw error;
      this.#send({ kind: "line", text: error.message });
    }
  }

  // ---- flushes ----

  #flushSome(): void {
    this.#flush ??= this.#beginFlush(this.#flushes.shift()!);
    const { flush, build } = this.#flush;
    if (!build.work()) return;
    this.#flush = undefined;
    const { runs } = this.#known;
    const files = build.outputs.map(({ file }) => file);
    const run = { id: this.#nextNumber++, parts: files.map((file) => ({ file, from: undefined })) };
    this.#work.flushes++;
    this.#work.flushedBytes += bytesOf(files);
    const { sequence, applied, historyFloor } = flush;
    const changed = { ...this.#known, sequence, applied, historyFloor };
    this.#install({ ...changed, runs: files.length === 0 ? runs : [run, ...runs] }, build, true);
    if (this.#isShortOfSpace) this.#owedBytes += mergedPerFlushed * bytesOf(files);
  }

  #beginFlush(flush: Flush): { flush: Flush; build: RunBuild } {
    const chunks = flush.parts.chunks.map((chunk) => new Uint8Array(chunk));
    const words = flush.parts.chunks.map((chunk) => new Uint32Array(chunk));
    const source = new MemtableSource(flush.parts, new EntryMemory(chunks, words));
    const build = new RunBuild(this.#env, {
      folder: this.#folder,
      newestFirst: [source],
      // Stays true until the run is there: without runs there is no merge that could bring one.
      rules: { isBottom: this.#known.runs.length === 0, historyFloor: flush.historyFloor },
      tableBytesMax: this.#options.tableBytesMax,
      keysMax: Infinity,
      filesMax: Infinity,
      nextNumber: () => this.#nextNumber++,
      built: (file) => this.#send({ kind: "built", file }),
      what: "a memtable",
    });
    return { flush, build };
  }

  // ---- merges ----

  /**
   * Whether a merge goes before a flush: when there is too much garbage, each flush has to be paid for. So writers
   * wait, and the files never take many times the space of what is alive.
   */
  #owesMerging(): boolean {
    if (this.#owedBytes <= 0) return false;
    this.#step ??= this.#beginStep();
    if (this.#step === undefined) this.#owedBytes = 0;
    return this.#step !== undefined;
  }

  /** Returns whether there was something to do. */
  #mergeSome(): boolean {
    this.#step ??= this.#beginStep();
    if (this.#step === undefined) {
      if (this.#isCompacting) {
        this.#isCompacting = false;
        this.#send({ kind: "compacted" });
      }
      return false;
    }
    if (this.#step.build.work()) this.#endStep(this.#step);
    return true;
  }

  #beginStep(): MergeStep | undefined {
    if (this.#known.merges.length === 0 || this.#canBeginAnother) this.#beginMerge();
    const merge = this.#smallestMerge();
    if (merge === undefined) return undefined;
    const open = (file: TableFile) => this.#open(file);
    const inputs = this.#runsOf(merge.inputs);
    const sources = inputs.map((run) => new RunSource(run.parts, open));
    const names = inputs.flatMap((run) =>
      run.parts.map(({ file }) => `"${runPath(this.#folder, file.number)}"`),
    );
    const build = new RunBuild(this.#env, {
      folder: this.#folder,
      newestFirst: sources,
      rules: { isBottom: merge.isBottom, historyFloor: this.#known.historyFloor },
      tableBytesMax: Math.max(this.#options.tableBytesMax, this.#bytesOfMerge(merge) / filesPerRun),
      keysMax: keysPerStepMax,
      filesMax: 1,
      nextNumber: () => this.#nextNumber++,
      built: (file) => this.#send({ kind: "built", file }),
      what: `runs ${names.slice(0, 16).join(", ")}`,
    });
    return { merge, sources, build };
  }

  /** Notes in memory that a merge begins; MANIFEST tells of it with its first step. */
  #beginMerge(): void {
    const { runs, merges } = this.#known;
    const range = this.#isCompacting ? { from: 0, to: runs.length } : this.#pick();
    if (range === undefined || runs.length === 0) return;
    const inputs = runs.slice(range.from, range.to);
    const output: RunState = { id: this.#nextNumber++, parts: [] };
    // Stays true to the end: what is added meanwhile is newer.
    const merge = {
      inputs: inputs.map(({ id }) => id),
      output: output.id,
      isBottom: range.to === runs.length,
    };
    this.#manifest = {
      ...this.#known,
      runs: [...runs.slice(0, range.to), output, ...runs.slice(range.to)],
      merges: [...merges, merge],
    };
    if (!this.#isCompacting) return;
    this.#isCompacting = false;
    this.#compaction = output.id;
  }

  #pick(): { from: number; to: number } | undefined {
    const { runs, merges } = this.#known;
    const merging = new Set(merges.flatMap(({ inputs, output }) => [...inputs, output]));
    const sizes = runs.map((run) => ({ bytes: bytesOfRun(run), isMerging: merging.has(run.id) }));
    return pickMerge(sizes, {
      runsMax: this.#options.runsMax,
      spaceRatio: this.#spaceRatio,
      spaceRatioMax: this.#isResting ? spaceRatioResting : spaceRatioBusy,
    });
  }

  #endStep({ merge, sources, build }: MergeStep): void {
    const nextKey = build.nextKey();
    this.#step = undefined;
    for (const source of sources) source.close();
    const outputs = build.outputs.map(({ file }) => ({ file, from: undefined }));
    const before = bytesOf(this.#runsOf(merge.inputs).flatMap((run) => run.parts.map(({ file }) => file)));
    const isDone = nextKey === undefined;
    const runs: RunState[] = [];
    for (const run of this.#known.runs) {
      if (run.id === merge.output) {
        const parts = [...run.parts, ...outputs];
        if (!isDone || parts.length > 0) runs.push({ id: run.id, parts });
      } else if (!merge.inputs.includes(run.id)) runs.push(run);
      else if (!isDone) runs.push({ id: run.id, parts: partsFrom(run.parts, nextKey) });
    }
    const merges = isDone ? this.#known.merges.filter((other) => other !== merge) : this.#known.merges;
    const inputs = runs.filter((run) => merge.inputs.includes(run.id)).flatMap((run) => run.parts);
    const readBytes = before - bytesOf(inputs.map(({ file }) => file));
    this.#work.mergeReadBytes += readBytes;
    // What was read of files that are still needed counts, too, or a step that ends none would pay nothing.
    this.#owedBytes -= Math.max(readBytes, bytesOf(outputs.map(({ file }) => file)));
    this.#work.mergeWrittenBytes += bytesOf(outputs.map(({ file }) => file));
    if (isDone) this.#work.merges++;
    this.#install({ ...this.#known, runs, merges }, build, false);
    if (isDone) this.#reportMerge(merge);
  }

  #reportMerge(merge: MergeState): void {
    const output = this.#known.runs.find((run) => run.id === merge.output);
    const rows = output?.parts.reduce((sum, { file }) => sum + file.rows, 0) ?? 0;
    this.#send({ kind: "line", text: `Merged ${merge.inputs.length} runs into one of ${rows} rows` });
    if (this.#compaction !== merge.output) return;
    this.#compaction = undefined;
    this.#send({ kind: "compacted" });
  }

  /** Small merges need not wait for the end of a large one. */
  get #canBeginAnother(): boolean {
    return !this.#isCompacting && this.#known.merges.length < mergesMax;
  }

  /** All that it has to do, and has done. */
  #bytesOfMerge({ inputs, output }: MergeState): number {
    return this.#runsOf([...inputs, output]).reduce((sum, run) => sum + bytesOfRun(run), 0);
  }

  #smallestMerge(): MergeState | undefined {
    let smallest: MergeState | undefined;
    let smallestBytes = Infinity;
    for (const merge of this.#known.merges) {
      const bytes = this.#runsOf(merge.inputs).reduce((sum, run) => sum + bytesOfRun(run), 0);
      if (bytes < smallestBytes) {
        smallest = merge;
        smallestBytes = bytes;
      }
    }
    return smallest;
  }

  /** Whether merges may take all they can get: readers or the disk's space suffer. */
  get #isUrgent(): boolean {
    return (
      this.#isCompacting ||
      this.#compaction !== undefined ||
      this.#known.runs.length > 2 * this.#options.runsMax ||
      this.#spaceRatio > spaceRatioBusy
    );
  }

  // ---- another state ----

  #receiveInstall(order: InstallOrder): void {
    const { install } = order;
    if (order.step === "begin") this.#incoming = this.#beginInstall(install);
    // Rows that were on their way when the ones before were refused.
    if (this.#incoming?.install !== install) return;
    if (order.step === "add") this.#incoming.add(order.rows);
    else if (order.step === "finish") this.#incoming.finish(order);
    else if (order.step === "abandon") this.#dropIncoming();
  }

  #beginInstall(install: number): InstallBuild {
    return new InstallBuild(this.#env, {
      install,
      folder: this.#folder,
      tableBytesMax: this.#options.tableBytesMax,
      nextNumber: () => this.#nextNumber++,
      send: (report: InstallReport) => this.#send({ kind: "install", ...report }),
    });
  }

  #takeSome(incoming: InstallBuild): void {
    try {
      const state = incoming.work();
      if (state !== undefined) this.#replace(incoming, state);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#dropIncoming();
      this.#send({ kind: "install", step: "refused", install: incoming.install, why: error.message });
    }
  }

  #dropIncoming(): void {
    this.#incoming?.abandon();
    this.#incoming = undefined;
  }

  /** What has come in is the store from now on, and nothing else is. */
  #replace(incoming: InstallBuild, { sequence, applied }: InstallState): void {
    this.end();
    this.#flushes.length = 0;
    this.#owedBytes = 0;
    // Whoever waits for a merge of everything is told when the new state was merged.
    this.#isCompacting ||= this.#compaction !== undefined;
    this.#compaction = undefined;
    const parts = incoming.outputs.map(({ file }) => ({ file, from: undefined }));
    const runs = parts.length === 0 ? [] : [{ id: this.#nextNumber++, parts }];
    const changed = { sequence, applied, historyFloor: sequence, logStart: applied, runs, merges: [] };
    this.#install({ ...this.#known, ...changed }, incoming, false, incoming.install);
  }

  // ---- all of them ----

  /** What was built becomes a part of the store: first the files' names are durable, then MANIFEST. */
  #install(
    manifest: Manifest,
    build: { readonly outputs: readonly BuiltFile[] },
    isFlush: boolean,
    install?: number,
  ): void {
    if (build.outputs.length > 0) this.#env.disk.syncFolder(this.#folder);
    const installed = { ...manifest, nextNumber: this.#nextNumber };
    writeManifest(this.#env.disk, this.#folder, installed);
    this.#manifest = installed;
    for (const { file, sample } of build.outputs) this.#samples.set(file.number, sample);
    const present = new Set(filesOf(installed).map((file) => file.number));
    for (const number of this.#samples.keys()) if (!present.has(number)) this.#samples.delete(number);
    this.#estimate();
    this.#send({
      kind: "installed",
      manifest: installed,
      isFlush,
      install,
      work: { ...this.#work },
      spaceRatio: this.#spaceRatio,
      mergeDebtBytes: installed.merges.reduce(
        (sum, merge) => sum + this.#runsOf(merge.inputs).reduce((bytes, run) => bytes + bytesOfRun(run), 0),
        0,
      ),
    });
  }

  #estimate(): void {
    const files = filesOf(this.#known);
    const { live, total, notes } = estimateLive(files.map((file) => this.#samples.get(file.number)!));
    // A small store is not worth guessing about: at the worst each run holds what the largest one does.
    const largest = Math.max(1, ...this.#known.runs.map(bytesOfRun));
    this.#spaceRatio = notes < notesMin ? bytesOf(files) / largest : total / Math.max(live, 1);
    this.#isShortOfSpace = notes >= notesToPayMin && this.#spaceRatio > spaceRatioBusy;
  }

  #runsOf(ids: readonly number[]): RunState[] {
    return ids.map((id) => {
      const run = this.#known.runs.find((other) => other.id === id);
      assert(run !== undefined, "what is merged is in MANIFEST");
      return run;
    });
  }

  #open(file: TableFile): Table {
    return new Table(this.#env.tables, this.#folder, file, undefined);
  }

  get #known(): Manifest {
    assert(this.#manifest !== undefined, "a worker is told which folder is its own first");
    return this.#manifest;
  }

  #abandonStep(): void {
    this.#step?.build.abandon();
    for (const source of this.#step?.sources ?? []) source.close();
    this.#step = undefined;
  }

  #guard(change: () => void): void {
    if (this.#hasFailed) return;
    try {
      change();
    } catch (error) {
      if (!(error instanceof KvraftError)) throw error;
      this.#hasFailed = true;
      this.end();
      this.#send({ kind: "failed", code: error.code, message: error.message });
    }
  }
}

/** A large run has larger files, so that a store of any size has few of them open: a step is at the most such a part. */
const filesPerRun = 64;
/** Merges that may be under way at once. */
const mergesMax = 4;

function partsFrom(parts: readonly RunPart[], nextKey: Uint8Array): RunPart[] {
  return parts
    .filter(({ file }) => compareBytes(file.largest, nextKey) >= 0)
    .map(({ file, from }) => ({ file, from: compareBytes(file.smallest, nextKey) < 0 ? nextKey : from }));
}

function bytesOf(files: readonly TableFile[]): number {
  return files.reduce((sum, file) => sum + file.bytes, 0);
}

function bytesOfRun(run: RunState): number {
  return bytesOf(run.parts.map(({ file }) => file));
}
