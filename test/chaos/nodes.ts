import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type KVClient, KVError } from "../../src/client/kv-client.ts";
import type { Cluster } from "../e2e/cluster.ts";
import { track } from "../e2e/processes.ts";
import { sleep } from "./sleep.ts";
import { descriptorsMax } from "./stranger-faults.ts";

/** What a node says last that may write no more: of its own files, or by SQLite, which keeps the system's reason to itself. */
const saysFull = /Cannot .*(too large|EFBIG|SQLITE_IOERR_WRITE)/i;
/** A file may grow no further than this on a disk that is full: less than any segment of the log, enough for a last word. */
const fullDiskFileBytes = 4096;

/** How long a node may take for an orderly end; more than it gives to connections that stand still. */
const stopMsMax = 20_000;

/** Who leads is asked of all nodes, and those that are paused do not answer: a fault has to begin soon all the same. */
const statusMsMax = 250;

/**
 * For ServerProcess: few descriptors. And a write beyond the limit of a file's size fails, as it does on a full disk, and sends no signal.
 * The pid stays that of the server.
 */
export const limitedWrapper = ["sh", "-c", `trap "" XFSZ; ulimit -n ${descriptorsMax}; exec "$@"`, "sh"];

/** The folder whose files say what of a node's disk hangs, see `test/e2e/hanging-syncs.js`. */
export function hangsFolderOf(cluster: Cluster, index: number): string {
  return join(cluster.folder, `hangs${index + 1}`);
}

/** Its next starts load what lets its disk hang, besides what they load already. */
export function prepareHangs(cluster: Cluster, index: number): void {
  const server = cluster.servers[index]!;
  mkdirSync(hangsFolderOf(cluster, index), { recursive: true });
  const preload = `--preload=${join(import.meta.dir, "../e2e/hanging-syncs.js")}`;
  const { BUN_OPTIONS: options = "" } = server.environment;
  if (options.includes(preload)) return;
  server.environment = {
    ...server.environment,
    BUN_OPTIONS: `${options} ${preload}`.trim(),
    KVRAFT_TEST_HANGS: hangsFolderOf(cluster, index),
  };
}

/** What a node ends with that was removed from the cluster, or whose folder went back in time. */
const [removedStatus, refusedStatus] = [2, 2];
const saysRemoved = "was removed from the cluster";

/**
 * The processes of a cluster as faults see them: who is there, who may be hit now, who is down on purpose. A node that ends
 * for any other reason is a finding: `look` throws. Only one that was removed has to end by itself.
 */
export class Nodes {
  readonly cluster: Cluster;
  /** Full disks are made with prlimit, which is not everywhere. */
  readonly canFillDisks = Bun.which("prlimit") !== null;
  /** How many nodes a full disk has stopped. */
  stoppedByDisk = 0;
  /** How many transfers of the state met a fault that was made for them. */
  transfersHit = 0;
  /** How many folders were set back to a copy in the end, and refused. */
  setBack = 0;
  /** How many leaders have handed over when they were asked to. */
  handedOver = 0;
  readonly #observer: KVClient;
  /** Those that are members, or on their way to be. */
  readonly #present: Set<number>;
  /** Those that were removed and have ended. */
  readonly #gone = new Set<number>();
  /** How a server that has joined is started: by asking somebody, who matters only until it was let in. */
  readonly #joined = new Set<number>();
  /** Those that are to be removed, or were, and have not ended yet. */
  readonly #leaving = new Set<number>();
  readonly #taken = new Set<number>();
  readonly #down = new Set<number>();
  readonly #fullDisks = new Set<number>();

  constructor(cluster: Cluster) {
    this.cluster = cluster;
    this.#present = new Set(cluster.ports.keys());
    this.#observer = cluster.client({ timeoutMs: statusMsMax });
  }

  /** All but those that are about to leave. */
  get members(): number[] {
    return [...this.#present].filter((index) => !this.#leaving.has(index));
  }

  /** With those that are about to leave and have not ended. */
  get present(): number[] {
    return [...this.#present];
  }

  get minority(): number {
    return (this.members.length - 1) >> 1;
  }

  /** Members that no fault holds. */
  get free(): number[] {
    return this.members.filter((index) => !this.#taken.has(index));
  }

  /** How many have ended because they were removed. */
  get goneCount(): number {
    return this.#gone.size;
  }

  isGone(index: number): boolean {
    return this.#gone.has(index);
  }

  /** Whether a fault has it: it may be down or deaf. */
  isHeld(index: number): boolean {
    return this.#taken.has(index);
  }

  async released(index: number, signal: AbortSignal): Promise<void> {
    while (this.isHeld(index) && !signal.aborted) await sleep(50, signal);
  }

  /** Starts a new server, which asks any member but `notVia` to be let in. */
  join(index: number, notVia: number): void {
    this.#joined.add(index);
    this.#startJoined(index, notVia);
    this.#present.add(index);
  }

  /** It is about to be removed: it may end by itself from now on. */
  expectEnd(index: number): void {
    this.#leaving.add(index);
  }

  /** Who says that it leads; of several the one with the highest term. */
  async leader(): Promise<number | undefined> {
    const nodes = await this.#observer.status();
    const leaders = nodes.filter(({ role }) => role === "leader");
    const newest = leaders.toSorted((one, other) => (other.term ?? 0) - (one.term ?? 0))[0];
    const index = this.members.find((each) => this.cluster.address(each) === newest?.address);
    return index;
  }

  /** Has the leader hand over to whom it likes; it may refuse, or nobody may lead. */
  async handOver(): Promise<void> {
    try {
      await this.#observer.transferLeadership();
      this.handedOver++;
    } catch (error) {
      if (!(error instanceof KVError)) throw error;
    }
  }

  /** From now on one fault has these nodes for itself. False when there are none, or another fault was faster. */
  take(indexes: readonly number[]): boolean {
    if (indexes.length === 0 || indexes.some((index) => this.#taken.has(index))) return false;
    for (const index of indexes) this.#taken.add(index);
    return true;
  }

  giveBack(indexes: readonly number[]): void {
    for (const index of indexes) this.#taken.delete(index);
  }

  /** Throws when a node has ended that nobody has ended. */
  look(): void {
    for (const index of this.present) {
      const server = this.cluster.servers[index]!;
      if (server.isRunning || this.#down.has(index)) continue;
      if (this.#leaving.has(index) && this.#hasLeft(index)) continue;
      const log = server.log.trimEnd();
      const lastLine = log.slice(log.lastIndexOf("\n") + 1);
      if (!this.#fullDisks.has(index) || !saysFull.test(lastLine))
        throw new Error(
          `Node ${index + 1} ended, and no fault had ended it. Its last words:\n${log.slice(-3000)}`,
        );
      this.#down.add(index);
      this.stoppedByDisk++;
    }
  }

  /** All that a node has said. */
  logOf(index: number): string {
    const path = this.#earlierLogPath(index);
    return (existsSync(path) ? readFileSync(path, "utf8") : "") + this.cluster.logOf(index);
  }

  async kill(index: number): Promise<void> {
    this.#down.add(index);
    await this.cluster.kill9(index);
  }

  start(index: number): void {
    this.#down.delete(index);
    if (this.isGone(index)) return;
    if (this.#joined.has(index)) this.#startJoined(index, index);
    else this.cluster.restart(index);
  }

  /**
   * Starts a node whose folder was set back, and takes it down again. Yields whether it was refused: it ends by itself, or
   * says so, since its list of members may be so old that it finds nobody who could have the last word.
   */
  async isRefused(index: number, timeoutMs: number): Promise<boolean> {
    const server = this.cluster.servers[index]!;
    const mark = this.logOf(index).length;
    if (this.#joined.has(index)) this.#startJoined(index, index);
    else server.start();
    const untilMs = performance.now() + timeoutMs;
    const isTold = () => /refuses this process/.test(this.logOf(index).slice(mark));
    while (server.isRunning && !isTold() && performance.now() < untilMs) await Bun.sleep(50);
    const isEnded = !server.isRunning && server.status === refusedStatus;
    await this.kill(index);
    return isEnded || isTold();
  }

  /** An orderly end. Throws when it is none. */
  async stop(index: number): Promise<void> {
    const server = this.cluster.servers[index]!;
    this.#down.add(index);
    server.signal("SIGTERM");
    const status = await server.ended(stopMsMax);
    if (status !== 0 && !(this.#leaving.has(index) && status === removedStatus))
      throw new Error(
        `Node ${index + 1} ended with ${status} after SIGTERM, 0 was expected:\n${server.log.slice(-3000)}`,
      );
  }

  /**
   * Stops a node in its tracks until the function that is returned is called, or this process ends: a stopped process
   * would not notice that, and would stay for ever.
   */
  pause(index: number): () => void {
    const { pid } = this.cluster.servers[index]!;
    const guard = track(
      Bun.spawn(["sh", "-c", 'read -r _; kill -CONT "$1"', "sh", String(pid)], {
        stdin: "pipe",
        stdout: "ignore",
        stderr: "ignore",
      }),
    );
    this.cluster.pause(index);
    return () => {
      this.cluster.resume(index);
      void guard.stdin.end();
    };
  }

  /** Leaves a running node no room on its disk. What it said before goes to another file, so that it has room to say why. */
  fillDisk(index: number): void {
    const server = this.cluster.servers[index]!;
    appendFileSync(this.#earlierLogPath(index), server.log);
    truncateSync(server.logPath);
    this.#fullDisks.add(index);
    const limit = Bun.spawnSync([
      "prlimit",
      "--pid",
      String(server.pid),
      `--fsize=${fullDiskFileBytes}:${fullDiskFileBytes}`,
    ]);
    if (limit.exitCode !== 0)
      throw new Error(`Cannot limit the files of node ${index + 1}: ${limit.stderr.toString()}`);
  }

  /** There is room again, and the node is started anew, also when it has not noticed. */
  async emptyDisk(index: number): Promise<void> {
    this.look();
    await this.kill(index);
    this.#fullDisks.delete(index);
    this.start(index);
  }

  /** Until `endHangs` the syncs of its store, or the writes of its log, do not end. */
  hang(index: number, what: "store" | "log"): void {
    writeFileSync(join(hangsFolderOf(this.cluster, index), what), "");
  }

  endHangs(index: number): void {
    for (const what of ["store", "log"])
      rmSync(join(hangsFolderOf(this.cluster, index), what), { force: true });
  }

  #startJoined(index: number, notVia: number): void {
    const via = this.members.find((each) => each !== index && each !== notVia);
    if (via === undefined) throw new Error("There is nobody who could let a server in");
    this.cluster.join(index, via);
  }

  /** Notes that a node has ended as it should; false when it has not. */
  #hasLeft(index: number): boolean {
    const server = this.cluster.servers[index]!;
    if (server.status !== removedStatus || !server.log.slice(-2000).includes(saysRemoved)) return false;
    this.#present.delete(index);
    this.#gone.add(index);
    this.#leaving.delete(index);
    return true;
  }

  #earlierLogPath(index: number): string {
    return this.cluster.servers[index]!.logPath.replace(/\.txt$/, ".earlier.txt");
  }
}
