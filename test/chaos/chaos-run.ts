import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BunClock } from "../../src/env/bun-clock.ts";
import { Prng } from "../../src/env/prng.ts";
import { messageOf } from "../../src/lib/error.ts";
import { Cluster, type Overrides } from "../e2e/cluster.ts";
import { atEnd, keepFolder } from "../e2e/processes.ts";
import { type Proxies, startProxied } from "../e2e/proxied-cluster.ts";
import { FrameProxy, RoutedNet } from "../e2e/proxy.ts";
import { putMany } from "../e2e/put-many.ts";
import { checkLinearizable } from "../history/linearizability.ts";
import { toJsonLine } from "../history/operation.ts";
import { ChaosClient } from "./chaos-client.ts";
import { DirectReader } from "./direct-reader.ts";
import type { Fault } from "./fault.ts";
import { FaultStatistics } from "./fault-statistics.ts";
import { FaultTrack } from "./fault-track.ts";
import { folderFaults } from "./folder-faults.ts";
import { hangFaults } from "./hang-faults.ts";
import { KeySpace } from "./key-space.ts";
import { Links } from "./links.ts";
import { partitions, slowNetworkFaults } from "./network-faults.ts";
import { limitedWrapper, Nodes, prepareHangs } from "./nodes.ts";
import { operatorFaults } from "./operator-faults.ts";
import { quickProcessFaults, slowProcessFaults } from "./process-faults.ts";
import { Recorder } from "./recorder.ts";
import { Replacements } from "./replacements.ts";
import { settle } from "./settle.ts";
import { silenceFaults } from "./silence-faults.ts";
import { sleep } from "./sleep.ts";
import { fetchesBegun, fetchesDone } from "./snapshots.ts";
import { clientConnectionsMax, strangerFaults } from "./stranger-faults.ts";
import { cutTransferShort } from "./transfer-faults.ts";
import { VersionLedger } from "./version-ledger.ts";
import {
  type ClientPlan,
  describeWorld,
  drawWorld,
  keyBytesMax,
  valueBytesMax,
  type World,
} from "./world.ts";

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
  readonly events: ChaosEvents;
  /** Data folders, logs and the history; kept only when something is wrong. */
  readonly folder: string;
  /** One line on everything. */
  readonly summary: string;
}

/** What happened besides faults. */
export interface ChaosEvents {
  /** States that were fetched to the end, and how many were begun. */
  readonly snapshots: number;
  readonly snapshotsBegun: number;
  /** Machines that took another one's place. */
  readonly replacementsBegun: number;
  readonly replacements: number;
  /** Leaders that handed over when they were asked to. */
  readonly transfers: number;
  /** By partitions and bad weather. */
  readonly framesLost: number;
}

/** The three tracks: of each another fault is under way. */
const beatMenu = [...quickProcessFaults, ...partitions];
const slowMenu = [...slowProcessFaults, ...slowNetworkFaults, cutTransferShort];
const fieldMenu = [...silenceFaults, ...hangFaults, ...strangerFaults, ...operatorFaults, ...folderFaults];

/** What is there from the start, so that a transfer takes a while. */
const ballast = { name: "ballast", count: 800, keys: 800, valueBytes: 2_400 };

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
  readonly #world: World;
  readonly #cluster: Cluster;
  readonly #proxies: Proxies;
  readonly #nodes: Nodes;
  readonly #replacements: Replacements;
  readonly #links = new Links();
  readonly #keySpace: KeySpace;
  readonly #clients: ChaosClient[];
  /** Of each client: the port that it connects to by the port that it means. */
  readonly #routes: Map<number, number>[] = [];
  /** Readers that were started, each of one server. */
  readonly #reading: Promise<void>[] = [];
  readonly #recorder = new Recorder();
  readonly #ledger = new VersionLedger();
  readonly #faults = new FaultStatistics([...beatMenu, ...slowMenu, ...fieldMenu]);
  readonly #problems: string[] = [];
  readonly #startMs = performance.now();
  #signal = AbortSignal.abort();

  /** Forms the cluster, and puts proxies between all that talk. */
  static async start(options: ChaosOptions): Promise<ChaosRun> {
    const prng = new Prng(options.seed);
    const world = drawWorld(prng.fork(), options.nodes);
    options.print(`${options.nodes} nodes with ${describeWorld(world)}`);
    const cluster = new Cluster({ nodes: options.nodes, wrapper: limitedWrapper });
    for (const index of cluster.ports.keys()) cluster.configure(index, undefined, overridesOf(world, index));
    const proxies = await startProxied(cluster, prng.fork(), undefined, (index) =>
      prepareHangs(cluster, index),
    );
    const client = cluster.client({ timeoutMs: 20_000 });
    await putMany([client], ballast);
    await client.close();
    return new ChaosRun(options, prng, world, cluster, proxies);
  }

  private constructor(options: ChaosOptions, prng: Prng, world: World, cluster: Cluster, proxies: Proxies) {
    this.#options = options;
    this.#prng = prng;
    this.#world = world;
    this.#cluster = cluster;
    this.#proxies = proxies;
    this.#nodes = new Nodes(cluster);
    this.#replacements = new Replacements({
      nodes: this.#nodes,
      prng: prng.fork(),
      grow: () => this.#grow(),
      tell: (line) => this.#print(line),
    });
    this.#keySpace = new KeySpace(world.clients.length);
    this.#clients = world.clients.map((plan, index) => this.#makeClient(plan, index));
    for (const place of cluster.ports.keys()) this.#connect(place);
  }

  /** Everything from the first fault to the verdict. */
  async finish(): Promise<ChaosReport> {
    const over = new AbortController();
    const timer = setTimeout(() => over.abort(), this.#options.durationMs);
    const { signal } = over;
    this.#signal = signal;
    for (const place of this.#cluster.ports.keys()) this.#readDirectly(place);
    const tasks = [
      this.#runFaults(signal),
      this.#replacements.run(signal),
      ...this.#clients.map((client) => client.run(signal)),
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
    await Promise.all(this.#reading);
    clearTimeout(timer);
    if (this.#problems.length === 0) await this.#settle();
    this.#check();
    return this.#report();
  }

  async end(): Promise<void> {
    await this.#cluster[Symbol.asyncDispose]();
  }

  /** One more server, as the world has them, with proxies all around. It is not started. */
  #grow(): number {
    const place = this.#cluster.add();
    this.#cluster.configure(place, undefined, overridesOf(this.#world, place));
    this.#proxies.extend();
    for (const index of this.#cluster.ports.keys()) prepareHangs(this.#cluster, index);
    this.#connect(place);
    this.#readDirectly(place);
    return place;
  }

  /** Everybody reaches a server through a proxy. */
  #connect(place: number): void {
    this.#links.addNode(place, this.#proxies);
    const port = this.#cluster.ports[place]!;
    for (const [index, routes] of this.#routes.entries()) {
      const proxy = new FrameProxy(port, this.#prng.fork());
      atEnd(() => proxy.close());
      routes.set(port, proxy.port);
      this.#links.addClient(index, place, proxy);
    }
  }

  #readDirectly(place: number): void {
    const isGone = () => this.#nodes.isGone(place);
    const port = this.#cluster.ports[place]!;
    const reader = new DirectReader(place, port, this.#keySpace, this.#recorder, isGone);
    this.#reading.push(reader.run(this.#signal));
  }

  #makeClient(plan: ClientPlan, index: number): ChaosClient {
    const prng = this.#prng.fork();
    const routes = new Map<number, number>();
    this.#routes[index] = routes;
    const env = { clock: new BunClock(), net: new RoutedNet(routes) };
    const { lanes, thinkMsMax, timeoutMs } = plan;
    const portsNow = () => this.#nodes.members.map((place) => this.#cluster.ports[place]!);
    const connect = () => this.#cluster.client({ timeoutMs, env }, portsNow());
    const recorder = this.#recorder;
    const ledger = this.#ledger;
    const keySpace = this.#keySpace;
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
        met: (fault) => this.#faults.met(fault),
      });
    await Promise.all([
      track(beatMenu, true).run(signal),
      track(slowMenu, false).run(signal),
      track(fieldMenu, false).run(signal),
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
      `frames: ${this.#links.framesLost} lost, ${this.#links.framesDelayed} delayed; ${this.#links.silenced} packets silenced`,
      `a full disk stopped a node ${this.#nodes.stoppedByDisk} times`,
      `${this.#nodes.setBack} folders set back in the end, and refused`,
      this.#describeEvents(),
      this.#describeFiles(),
      `longest gap between kills, pauses and partitions ${seconds(this.#faults.longestGapMs)}`,
      `longest time without an acknowledged write ${seconds(this.#recorder.longestSilenceMs)}`,
      this.#problems.length === 0 ? "all is well" : "FAILED",
    ].join("; ");
    return {
      problems: this.#problems,
      recorder: this.#recorder,
      faults: this.#faults,
      events: this.#events(),
      folder,
      summary,
    };
  }

  #describeCounts(): string {
    const { ok, unknown, failed } = this.#recorder.counts;
    return `${ok + unknown + failed} operations (${ok} acknowledged, ${unknown} unknown, ${failed} failed)`;
  }

  #events(): ChaosEvents {
    const logs = [...this.#cluster.ports.keys()].map((index) => this.#nodes.logOf(index));
    const sum = (of: (log: string) => number) => logs.reduce((total, log) => total + of(log), 0);
    return {
      snapshots: sum(fetchesDone),
      snapshotsBegun: sum(fetchesBegun),
      replacementsBegun: this.#replacements.begun,
      replacements: this.#replacements.done,
      transfers: this.#nodes.handedOver,
      framesLost: this.#links.framesLost,
    };
  }

  #describeEvents(): string {
    const { snapshots, snapshotsBegun, replacements, transfers } = this.#events();
    return (
      `${snapshots} states fetched, ${snapshotsBegun} begun, ${this.#nodes.transfersHit} met harm on purpose; ` +
      `${replacements} machines replaced, ${this.#nodes.goneCount} ended; ${transfers} leaderships handed over`
    );
  }

  /** How much the small limits have made the nodes do. */
  #describeFiles(): string {
    const filesIn = (index: number, part: string) => {
      const folder = join(this.#cluster.dataDir(index), part);
      return existsSync(folder) ? readdirSync(folder) : [];
    };
    const counts = this.#nodes.present.map((index) => {
      const runs = filesIn(index, "store").filter((name) => name.endsWith(".run"));
      const newest = runs.reduce((most, name) => Math.max(most, Number.parseInt(name, 10)), 0);
      const segments = filesIn(index, "log").filter((name) => name.endsWith(".log"));
      const dropped = segments.reduce(
        (least, name) => Math.min(least, Number.parseInt(name, 10)),
        Number.POSITIVE_INFINITY,
      );
      return `${newest} runs, ${segments.length} segments from ${dropped} on`;
    });
    return `the nodes have ${counts.join("; ")}`;
  }

  #print(line: string): void {
    const seconds = (performance.now() - this.#startMs) / 1000;
    this.#options.print(`${seconds.toFixed(1).padStart(6)} s  ${line}`);
  }
}

/** What stands in the configuration file of a server. */
function overridesOf({ timings, ...world }: World, place: number): Overrides {
  const { memtableBytes, segmentBytes, logTailEntries, logTailBytes } = world;
  const limits = {
    ...{ keyBytes: keyBytesMax, valueBytes: valueBytesMax },
    ...{ memtableBytes, segmentBytes, logTailEntries, logTailBytes },
    connections: clientConnectionsMax,
  };
  return { limits, timings: timings[place % timings.length]! };
}

function around(log: string, at: number): string {
  return log.slice(Math.max(0, at - 1_000), at + 1_000);
}
