import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BunClock } from "../../src/env/bun-clock.ts";
import { Prng } from "../../src/env/prng.ts";
import { messageOf } from "../../src/lib/error.ts";
import { Cluster } from "../e2e/cluster.ts";
import { atEnd, keepFolder } from "../e2e/processes.ts";
import { type Proxies, putProxiesBetween } from "../e2e/proxied-cluster.ts";
import { FrameProxy, RoutedNet } from "../e2e/proxy.ts";
import { checkLinearizable } from "../history/linearizability.ts";
import { toJsonLine } from "../history/operation.ts";
import { ChaosClient } from "./chaos-client.ts";
import { DirectReader } from "./direct-reader.ts";
import type { Fault } from "./fault.ts";
import { FaultStatistics } from "./fault-statistics.ts";
import { FaultTrack } from "./fault-track.ts";
import { KeySpace } from "./key-space.ts";
import { Links } from "./links.ts";
import { partitions, slowNetworkFaults } from "./network-faults.ts";
import { fullDiskWrapper, Nodes } from "./nodes.ts";
import { quickProcessFaults, slowProcessFaults } from "./process-faults.ts";
import { Recorder } from "./recorder.ts";
import { settle } from "./settle.ts";
import { sleep } from "./sleep.ts";
import { VersionLedger } from "./version-ledger.ts";
import { type ClientPlan, describeWorld, drawWorld, keyBytesMax, valueBytesMax } from "./world.ts";

export interface ChaosOptions {
  readonly seed: number;
  readonly durationMs: number;
  readonly nodes: number;
  readonly print: (line: string) => void;
}

export interface ChaosReport {
  /** Empty when all is well. */
  readonly problems: readonly string[];
  readonly recorder: Recorder;
  readonly faults: FaultStatistics;
  /** Data folders, logs and the history; kept only when something is wrong. */
  readonly folder: string;
  /** One line on everything. */
  readonly summary: string;
}

/** A write must be acknowledged at least so often: the faults leave moments in which a majority can work. */
const silenceMsMax = 30_000;
const lookEveryMs = 100;
const progressEveryMs = 10_000;

/** The pause between two kills, pauses or partitions: the cluster often recovers in between, and sometimes does not. */
const beatMsMin = 600;
const beatMsMax = 2_000;

/** A bug that is told as such, or the stack of an exception that nobody caught: it need not end the process. */
const bugPattern = /bug in kvraft|^ +at .+:\d+:\d+\)?$/m;

/** Runs a cluster of real processes under faults and load, then checks what its clients saw. Ends all it has started. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const run = await ChaosRun.start(options);
  try {
    return await run.finish();
  } finally {
    await run.end();
  }
}

class ChaosRun {
  readonly #options: ChaosOptions;
  readonly #prng: Prng;
  readonly #cluster: Cluster;
  readonly #nodes: Nodes;
  readonly #links = new Links();
  readonly #clients: ChaosClient[];
  readonly #directReaders: DirectReader[];
  readonly #recorder = new Recorder();
  readonly #ledger = new VersionLedger();
  readonly #faults = new FaultStatistics();
  readonly #problems: string[] = [];
  readonly #startMs = performance.now();

  /** Forms the cluster, and puts proxies between all that talk. */
  static async start(options: ChaosOptions): Promise<ChaosRun> {
    const prng = new Prng(options.seed);
    const world = drawWorld(prng.fork(), options.nodes);
    options.print(`${options.nodes} nodes with ${describeWorld(world)}`);
    const { memtableBytes, segmentBytes, timings } = world;
    const limits = { keyBytes: keyBytesMax, valueBytes: valueBytesMax, memtableBytes, segmentBytes };
    const cluster = await Cluster.start({ nodes: options.nodes, limits, wrapper: fullDiskWrapper });
    const overridesOf = (index: number) => ({ limits, timings: timings[index]! });
    const proxies = await putProxiesBetween(cluster, prng.fork(), undefined, overridesOf);
    await cluster.awaitLeader();
    return new ChaosRun(options, prng, cluster, proxies, world.clients);
  }

  private constructor(
    options: ChaosOptions,
    prng: Prng,
    cluster: Cluster,
    proxies: Proxies,
    clients: readonly ClientPlan[],
  ) {
    this.#options = options;
    this.#prng = prng;
    this.#cluster = cluster;
    this.#nodes = new Nodes(cluster);
    this.#links.addNodes(proxies);
    const keySpace = new KeySpace(clients.length);
    this.#clients = clients.map((plan, index) => this.#makeClient(plan, index, proxies, keySpace));
    this.#directReaders = cluster.ports.map(
      (port, index) => new DirectReader(index, port, keySpace, this.#recorder),
    );
  }

  /** Everything from the first fault to the verdict. */
  async finish(): Promise<ChaosReport> {
    const over = new AbortController();
    const timer = setTimeout(() => over.abort(), this.#options.durationMs);
    const { signal } = over;
    const tasks = [
      this.#runFaults(signal),
      ...this.#clients.map((client) => client.run(signal)),
      ...this.#directReaders.map((reader) => reader.run(signal)),
      this.#watch(signal),
      this.#printProgress(signal),
    ];
    const guarded = tasks.map((task) =>
      task.catch((error: unknown) => {
        this.#problems.push(messageOf(error));
        over.abort();
      }),
    );
    await Promise.all(guarded);
    clearTimeout(timer);
    if (this.#problems.length === 0) await this.#settle();
    this.#check();
    return this.#report();
  }

  async end(): Promise<void> {
    await this.#cluster[Symbol.asyncDispose]();
  }

  #makeClient(plan: ClientPlan, index: number, nodeProxies: Proxies, keySpace: KeySpace): ChaosClient {
    const prng = this.#prng.fork();
    const { ports } = this.#cluster;
    const proxies = ports.map((port) => new FrameProxy(port, prng.fork()));
    atEnd(() => {
      for (const proxy of proxies) proxy.close();
    });
    this.#links.addClient(index, proxies);
    // Nodes name the leader by the port under which they know it: mostly that of a proxy of their own.
    const routes = new Map<number, number>();
    for (const [to, { port }] of proxies.entries()) {
      routes.set(ports[to]!, port);
      for (const row of nodeProxies) if (row[to] !== undefined) routes.set(row[to].port, port);
    }
    const env = { clock: new BunClock(), net: new RoutedNet(routes) };
    const { lanes, thinkMsMax, timeoutMs } = plan;
    const connect = () => this.#cluster.client({ timeoutMs, env });
    const recorder = this.#recorder;
    const ledger = this.#ledger;
    return new ChaosClient({ index, prng, lanes, thinkMsMax, connect, keySpace, recorder, ledger });
  }

  async #runFaults(signal: AbortSignal): Promise<void> {
    const stage = { nodes: this.#nodes, links: this.#links, clientCount: this.#clients.length };
    const track = (menu: readonly Fault[], isBeat: boolean) =>
      new FaultTrack({
        stage,
        menu,
        prng: this.#prng.fork(),
        nextMs: (prng, holdMs) => {
          if (!isBeat) return holdMs + prng.int(500, 4_000);
          return Math.min(Math.max(holdMs + prng.int(100, 1_200), beatMsMin), beatMsMax);
        },
        began: (fault, { whom, holdMs }) => {
          this.#faults.began(fault, isBeat);
          const forTime = holdMs === 0 ? "" : `, for ${(holdMs / 1000).toFixed(1)} s`;
          this.#print(`${fault.name}: ${whom}${forTime}`);
        },
      });
    await Promise.all([
      track([...quickProcessFaults, ...partitions], true).run(signal),
      track([...slowProcessFaults, ...slowNetworkFaults], false).run(signal),
    ]);
  }

  /** Throws when a node has ended by itself, or nothing gets done any more. */
  async #watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#nodes.look();
      if (this.#recorder.silenceMs > silenceMsMax)
        throw new Error(`No write was acknowledged for ${silenceMsMax / 1000} s`);
      await sleep(lookEveryMs, signal);
    }
    this.#faults.ended();
  }

  async #printProgress(signal: AbortSignal): Promise<void> {
    for (;;) {
      await sleep(progressEveryMs, signal);
      if (signal.aborted) return;
      this.#print(`${this.#describeCounts()}; ${this.#faults.beats} kills, pauses and partitions`);
    }
  }

  async #settle(): Promise<void> {
    this.#print("the faults are over: all nodes are killed and started once more");
    try {
      this.#problems.push(...(await settle(this.#nodes, this.#recorder, this.#ledger)));
    } catch (error) {
      this.#problems.push(messageOf(error));
    }
  }

  #check(): void {
    for (const index of this.#cluster.ports.keys()) {
      const log = this.#nodes.logOf(index);
      const at = log.search(bugPattern);
      if (at >= 0) this.#problems.push(`Node ${index + 1} speaks of a bug:\n${around(log, at)}`);
    }
    try {
      const verdict = checkLinearizable(this.#recorder.history);
      if (!verdict.ok)
        this.#problems.push(
          `The history of "${verdict.key}" is not linearizable:\n${verdict.story.join("\n")}`,
        );
    } catch (error) {
      this.#problems.push(`Cannot check the history: ${messageOf(error)}`);
    }
  }

  #report(): ChaosReport {
    const { folder } = this.#cluster;
    if (this.#problems.length > 0) {
      keepFolder(folder);
      writeFileSync(join(folder, "history.jsonl"), this.#recorder.history.map(toJsonLine).join("\n"));
    }
    const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
    const summary = [
      `${this.#describeCounts()}, all of them checked`,
      `faults: ${this.#faults.describe()}`,
      `frames: ${this.#links.framesLost} lost, ${this.#links.framesDelayed} delayed`,
      `a full disk stopped a node ${this.#nodes.stoppedByDisk} times`,
      this.#describeFiles(),
      `longest gap between kills, pauses and partitions ${seconds(this.#faults.longestGapMs)}`,
      `longest time without an acknowledged write ${seconds(this.#recorder.longestSilenceMs)}`,
      this.#problems.length === 0 ? "all is well" : "FAILED",
    ].join("; ");
    return {
      problems: this.#problems,
      recorder: this.#recorder,
      faults: this.#faults,
      folder,
      summary,
    };
  }

  #describeCounts(): string {
    const { ok, unknown, failed } = this.#recorder.counts;
    return `${ok + unknown + failed} operations (${ok} acknowledged, ${unknown} unknown, ${failed} failed)`;
  }

  /** How much the small limits have made the nodes do. */
  #describeFiles(): string {
    const counts = [...this.#cluster.ports.keys()].map((index) => {
      const dataDir = this.#cluster.dataDir(index);
      const runs = readdirSync(join(dataDir, "store")).filter((name) => name.endsWith(".run"));
      const newest = runs.reduce((most, name) => Math.max(most, Number.parseInt(name, 10)), 0);
      const segments = readdirSync(join(dataDir, "log")).filter((name) => name.endsWith(".log")).length;
      return `${segments} segments and ${newest} runs`;
    });
    return `the nodes have written ${counts.join(", ")}`;
  }

  #print(line: string): void {
    const seconds = (performance.now() - this.#startMs) / 1000;
    this.#options.print(`${seconds.toFixed(1).padStart(6)} s  ${line}`);
  }
}

function around(log: string, at: number): string {
  return log.slice(Math.max(0, at - 1_000), at + 1_000);
}
