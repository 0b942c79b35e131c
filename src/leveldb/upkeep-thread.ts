import type { WorkerThread } from "../env/workers.ts";
import { assert, unreachable } from "../lib/assert.ts";
import { KvraftError } from "../lib/error.ts";
import { Install, type InstallHooks } from "./install.ts";
import type { InstallReport, InstallState } from "./install-messages.ts";
import type { Applied, TableFile } from "./manifest.ts";
import type { Memtable } from "./memtable.ts";
import type { RunFolder, StoreEnv } from "./run-folder.ts";
import {
  noWork,
  type UpkeepOptions,
  type UpkeepOrder,
  type UpkeepReport,
  type UpkeepWork,
} from "./upkeep-messages.ts";

/** A memtable that nobody writes to any more, and the state that the store had when it was sealed. */
export interface Sealed {
  readonly memtable: Memtable;
  readonly sequence: number;
  readonly applied: Applied;
  /** Reads at this sequence number and above will see what was there. */
  readonly historyFloor: number;
}

export interface UpkeepThreadOptions extends UpkeepOptions {
  readonly folder: string;
  readonly report: (line: string) => void;
  /** Told once, in a turn of its own, when nothing more can be made durable. */
  readonly failed: (error: KvraftError) => void;
}

/**
 * The store's side of its worker, which is started when there is something to do: sealed memtables go there, oldest
 * first, and are read here until their run is in MANIFEST.
 */
export class UpkeepThread {
  readonly runs: RunFolder;
  readonly #env: StoreEnv;
  readonly #options: UpkeepThreadOptions;
  #thread: WorkerThread | undefined;
  /** Newest first, as readers look for keys. */
  #sealed: readonly Sealed[] = [];
  /** The last one, and how many there were. */
  #install: Install | undefined;
  #installs = 0;
  /** The worker was waited for in vain. */
  #hangs = false;
  /** Reports of the worker so far. */
  #heard = 0;
  #isCompacting = false;
  #isResting = false;
  #failure: KvraftError | undefined;
  #work = noWork;
  #spaceRatio = 1;
  #mergeDebtBytes = 0;

  constructor(
    env: StoreEnv,
    openRuns: (unneeded: (number: number) => void) => RunFolder,
    options: UpkeepThreadOptions,
  ) {
    this.#env = env;
    this.#options = options;
    this.runs = openRuns((number) => this.#tell({ kind: "remove", number }));
  }

  /** Newest first. */
  get sealed(): readonly Sealed[] {
    return this.#sealed;
  }

  get failure(): KvraftError | undefined {
    return this.#failure;
  }

  /** See WorkerThread. */
  get slices(): number {
    return this.#thread?.slices ?? 0;
  }

  get work(): UpkeepWork {
    return this.#work;
  }

  /** Bytes of files to bytes alive, as far as is known. */
  get spaceRatio(): number {
    return this.#spaceRatio;
  }

  get mergeDebtBytes(): number {
    return this.#mergeDebtBytes;
  }

  /** Whether another state takes the place of this one at any moment now. */
  get isReplacing(): boolean {
    return this.#install?.isFinishing === true && this.#failure === undefined;
  }

  /** One at a time. When `installed` is told, nothing is sealed any more. */
  beginInstall(hooks: InstallHooks, checkNewer: (state: InstallState) => void): Install {
    this.#checkFailure();
    assert(this.#install === undefined || this.#install.isOver, "one state is installed at a time");
    this.#install = new Install(++this.#installs, hooks, {
      tell: (order) => this.#tell({ kind: "install", ...order }),
      check: () => this.#checkFailure(),
      checkNewer,
      built: (file) => this.#built(file),
      forget: (numbers) => this.runs.forget(numbers),
    });
    return this.#install;
  }

  seal(sealed: Sealed): void {
    this.#checkFailure();
    this.#sealed = [sealed, ...this.#sealed];
    const { memtable, ...state } = sealed;
    this.#tell({ kind: "flush", parts: memtable.parts(), ...state });
  }

  rest(isResting: boolean): void {
    // What was never written to has nothing to give back.
    if (isResting === this.#isResting || (this.#thread === undefined && this.runs.runs.length === 0)) return;
    this.#isResting = isResting;
    this.#tell({ kind: "rest", isResting });
  }

  /** Returns when everything sealed is durable. Throws IO_ERROR when the worker does nothing for seconds. */
  finishFlushes(): void {
    this.#checkFailure();
    let idleWaits = 0;
    while (this.#sealed.length > 0) {
      const [slices, heard] = [this.slices, this.#heard];
      this.#wait();
      idleWaits = slices === this.slices && heard === this.#heard ? idleWaits + 1 : 0;
      if (idleWaits >= idleWaitsMax) this.#giveUp();
    }
  }

  #giveUp(): never {
    this.#hangs = true;
    const text =
      `Cannot store what is in memory in "${this.#options.folder}": its disk has done nothing for ` +
      `${(idleWaitsMax * waitMs) / 1000} s; check the disk`;
    throw new KvraftError("IO_ERROR", text);
  }

  /** Returns when all runs are one. */
  compact(): void {
    this.#checkFailure();
    this.#isCompacting = true;
    this.#tell({ kind: "compact" });
    while (this.#isCompacting) this.#wait();
  }

  /** Stops for `ms` at the most, or until the worker has got on. */
  pause(ms: number): void {
    this.#thread?.wait(ms);
    this.#checkFailure();
  }

  /**
   * Drops what is not durable, and lets go of the files. Returns false when the worker's disk hangs: it is at work
   * then.
   */
  close(): boolean {
    this.#install?.close();
    this.#dropSealed();
    this.runs.close();
    const hasEnded = this.#thread?.end(this.#hangs ? hangingEndMs : undefined) ?? true;
    this.#thread = undefined;
    return hasEnded;
  }

  #wait(): void {
    assert(this.#thread !== undefined, "what is waited for is under way");
    this.#thread.wait(waitMs);
    this.#checkFailure();
  }

  #tell(order: UpkeepOrder): void {
    if (this.#thread === undefined) {
      const { folder, report, failed, ...options } = this.#options;
      this.#thread = this.#env.workers.start((message) => this.#hear(message as UpkeepReport));
      this.#thread.post({
        kind: "begin",
        folder,
        manifest: this.runs.manifest,
        options,
      } satisfies UpkeepOrder);
    }
    this.#thread.post(order);
  }

  #hear(report: UpkeepReport): void {
    this.#heard++;
    switch (report.kind) {
      case "installed":
        return this.#installed(report);
      case "built":
        return this.#built(report.file);
      case "compacted":
        this.#isCompacting = false;
        return;
      case "install":
        return this.#hearInstall(report);
      case "line":
        return this.#options.report(report.text);
      case "failed":
        return this.#fail(new KvraftError(report.code, report.message));
      default:
        unreachable(report);
    }
  }

  #hearInstall(report: InstallReport): void {
    const install = this.#install;
    if (this.#failure !== undefined) return;
    if (install?.number === report.install && !install.isOver) install.hear(report);
    // It was on its way when the install was given up.
    else if (report.step === "built") this.#tell({ kind: "remove", number: report.file.number });
  }

  #installed({
    manifest,
    isFlush,
    install,
    work,
    spaceRatio,
    mergeDebtBytes,
  }: UpkeepReport & { kind: "installed" }): void {
    if (this.#failure !== undefined) return;
    this.#work = work;
    this.#spaceRatio = spaceRatio;
    this.#mergeDebtBytes = mergeDebtBytes;
    const isNew = install !== undefined;
    const follow = () => (isNew ? this.runs.replace(manifest) : this.runs.follow(manifest));
    if (!this.#reading(follow)) return;
    if (isNew) {
      this.#dropSealed();
      this.#install!.installed();
    } else if (isFlush) {
      this.#sealed.at(-1)!.memtable.done();
      this.#sealed = this.#sealed.slice(0, -1);
    }
  }

  #dropSealed(): void {
    for (const { memtable } of this.#sealed) memtable.done();
    this.#sealed = [];
  }

  #built(file: TableFile): void {
    if (this.#failure === undefined) this.#reading(() => this.runs.prepare(file));
  }

  /** Returns whether it went well: what cannot be opened is as bad as what cannot be written. */
  #reading(open: () => void): boolean {
    try {
      open();
      return true;
    } catch (error) {
      if (!(error instanceof KvraftError)) throw error;
      this.#fail(error);
      return false;
    }
  }

  #fail(error: KvraftError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#options.failed(error);
  }

  #checkFailure(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}

/** A worker that has nothing to say is asked again: nothing depends on it. */
const waitMs = 1000;
/** After so many of these waits in which it did nothing its disk hangs. */
const idleWaitsMax = 5;
/** What a worker whose disk hangs still gets to end. */
const hangingEndMs = 100;
