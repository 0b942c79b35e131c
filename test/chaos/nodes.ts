import { appendFileSync, existsSync, readFileSync, truncateSync } from "node:fs";
import type { KVClient } from "../../src/client/kv-client.ts";
import type { Cluster } from "../e2e/cluster.ts";
import { track } from "../e2e/processes.ts";

/** What a node says last that may write no more: of its own files, or by SQLite, which keeps the system's reason to itself. */
const saysFull = /Cannot .*(too large|EFBIG|SQLITE_IOERR_WRITE)/i;
/** A file may grow no further than this on a disk that is full: less than any segment of the log, enough for a last word. */
const fullDiskFileBytes = 4096;

/** How long a node may take for an orderly end; more than it gives to connections that stand still. */
const stopMsMax = 20_000;

/** Who leads is asked of all nodes, and those that are paused do not answer: a fault has to begin soon all the same. */
const statusMsMax = 250;

/**
 * For ServerProcess: a write beyond the limit of a file's size fails, as it does on a full disk, and sends no signal.
 * The pid stays that of the server.
 */
export const fullDiskWrapper = ["sh", "-c", 'trap "" XFSZ; exec "$@"', "sh"];

/**
 * The processes of a cluster as faults see them: who may be hit now, who is down on purpose. A node that ends for any other
 * reason is a finding: `look` throws.
 */
export class Nodes {
  readonly cluster: Cluster;
  /** Full disks are made with prlimit, which is not everywhere. */
  readonly canFillDisks = Bun.which("prlimit") !== null;
  /** How many nodes a full disk has stopped. */
  stoppedByDisk = 0;
  readonly #observer: KVClient;
  readonly #taken = new Set<number>();
  readonly #down = new Set<number>();
  readonly #fullDisks = new Set<number>();

  constructor(cluster: Cluster) {
    this.cluster = cluster;
    this.#observer = cluster.client({ timeoutMs: statusMsMax });
  }

  get count(): number {
    return this.cluster.ports.length;
  }

  get minority(): number {
    return (this.count - 1) >> 1;
  }

  /** Nodes that no fault holds. */
  get free(): number[] {
    return [...this.cluster.ports.keys()].filter((index) => !this.#taken.has(index));
  }

  /** Who says that it leads; of several the one with the highest term. */
  async leader(): Promise<number | undefined> {
    const nodes = await this.#observer.status();
    const terms = nodes.map(({ role, term }) => (role === "leader" ? (term ?? 0) : -1));
    const highest = Math.max(...terms);
    return highest < 0 ? undefined : terms.indexOf(highest);
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
    for (const [index, server] of this.cluster.servers.entries()) {
      if (server.isRunning || this.#down.has(index)) continue;
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
    this.cluster.restart(index);
    this.#down.delete(index);
  }

  /** An orderly end. Throws when it is none. */
  async stop(index: number): Promise<void> {
    const server = this.cluster.servers[index]!;
    this.#down.add(index);
    server.signal("SIGTERM");
    const status = await server.ended(stopMsMax);
    if (status !== 0)
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

  #earlierLogPath(index: number): string {
    return this.cluster.servers[index]!.logPath.replace(/\.txt$/, ".earlier.txt");
  }
}
