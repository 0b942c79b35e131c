/**
 * `make bench`: three nodes of the built binary, synced, and beside them (where it is installed) a single Redis with
 * appendfsync always, under the same closed loop from this process, in turns. Prints medians of rounds and their
 * ratio, and where the processor time of an operation goes.
 *
 * Both are warmed up first, by puts and gets that are not counted: what is measured is the state that lasts.
 *
 * Options in the environment: ROUNDS [5], SECONDS a round [3], WARM_UP seconds [8], CLIENTS [1,64], KEYS [100000],
 * BENCH_DIR for the data.
 */
import { resolve } from "node:path";
import { KvraftLoad } from "./kvraft-load.ts";
import { type LoadConnection, type LoadResult, runLoad, Workload } from "./load.ts";
import { cpuMsOf, Processes, type RunningCluster, startCluster, startRedis } from "./processes.ts";
import { RedisLoad } from "./redis-load.ts";

const rounds = Number(process.env["ROUNDS"] ?? 5);
const seconds = Number(process.env["SECONDS"] ?? 3);
const clientCounts = (process.env["CLIENTS"] ?? "1,64").split(",").map(Number);
const warmUpSeconds = Number(process.env["WARM_UP"] ?? 8);
const keyCount = Number(process.env["KEYS"] ?? 100_000);
const valueBytes = 256;
const kinds = ["put", "get"] as const;
type Kind = (typeof kinds)[number];

interface Measured extends LoadResult {
  /** Microseconds of processor time per operation, by process. */
  readonly cpuUs: Readonly<Record<string, number>>;
}

const workload = new Workload(keyCount, valueBytes);
const processes = new Processes();
try {
  const cluster = await startCluster(processes, resolve("dist/kvraft"));
  const redis = await startRedis(processes);
  console.log(
    `${rounds} rounds of ${seconds} s, values of ${valueBytes} bytes, ${keyCount} keys; three nodes, synced` +
      (redis === undefined
        ? "; no redis-server is installed, so nothing stands beside them"
        : "; Redis, synced"),
  );
  console.log(
    row(["clients", "operation", "system", "per s", "p50 ms", "p99 ms", "worst ms", "processor us/op"]),
  );
  const ours = (kind: Kind) => () => KvraftLoad.connect(cluster.leader, kind, workload);
  const theirs = (port: number, kind: Kind) => () => RedisLoad.connect(port, kind, workload);
  for (const kind of kinds) {
    await runFor(ours(kind), 64, warmUpSeconds);
    if (redis !== undefined) await runFor(theirs(redis.port, kind), 64, warmUpSeconds / 4);
  }
  for (const clients of clientCounts)
    for (const kind of kinds) {
      const kvraft: Measured[] = [];
      const others: Measured[] = [];
      for (let round = 0; round < rounds; round++) {
        kvraft.push(await measure(ours(kind), clients, pidsOf(cluster)));
        if (redis !== undefined)
          others.push(await measure(theirs(redis.port, kind), clients, { redis: redis.pid }));
      }
      report(clients, kind, kvraft, others);
    }
} finally {
  await processes.end();
}

function pidsOf(cluster: RunningCluster): Record<string, number> {
  const [first, second] = cluster.followerPids;
  return { leader: cluster.leaderPid, follower: first!, "follower 2": second! };
}

async function measure(
  connect: () => Promise<LoadConnection>,
  clients: number,
  pids: Readonly<Record<string, number>>,
): Promise<Measured> {
  const all = { ...pids, load: process.pid };
  const before = Object.values(all).map(cpuMsOf);
  const result = await runFor(connect, clients, seconds);
  const after = Object.values(all).map(cpuMsOf);
  const us = (at: number) => ((after[at]! - before[at]!) * 1000) / result.operations;
  return { ...result, cpuUs: Object.fromEntries(Object.keys(all).map((name, at) => [name, us(at)])) };
}

async function runFor(
  connect: () => Promise<LoadConnection>,
  clients: number,
  forSeconds: number,
): Promise<LoadResult> {
  const connections = await Promise.all(Array.from({ length: clients }, connect));
  const result = await runLoad(connections, forSeconds);
  for (const connection of connections) connection.close();
  return result;
}

function report(clients: number, kind: Kind, kvraft: readonly Measured[], others: readonly Measured[]): void {
  const ours = printMedian(clients, kind, "kvraft", kvraft);
  if (others.length === 0) return;
  const theirs = printMedian(clients, kind, "redis", others);
  const ratios = kvraft.map((each, round) => each.perSecond / others[round]!.perSecond);
  console.log(
    row([
      "",
      "",
      "ratio",
      median(ratios).toFixed(2),
      ratio(ours.p50Ms, theirs.p50Ms),
      ratio(ours.p99Ms, theirs.p99Ms),
    ]),
  );
}

/** The round with the median throughput. */
function printMedian(clients: number, kind: Kind, system: string, measured: readonly Measured[]): Measured {
  const middle = [...measured].sort((a, b) => a.perSecond - b.perSecond)[Math.floor(measured.length / 2)]!;
  const failures = measured.reduce((sum, each) => sum + each.failures, 0);
  const cpu = Object.entries(middle.cpuUs).map(([name, us]) => `${name} ${us.toFixed(0)}`);
  if (failures > 0) cpu.push(`(${failures} FAILED)`);
  const times = [middle.p50Ms, middle.p99Ms, middle.worstMs].map((ms) => ms.toFixed(2));
  console.log(row([`${clients}`, `${kind}s`, system, middle.perSecond.toFixed(0), ...times, cpu.join(", ")]));
  return middle;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

function ratio(ours: number, theirs: number): string {
  return (ours / theirs).toFixed(2);
}

function row(cells: readonly string[]): string {
  const widths = [7, 9, 7, 8, 8, 8, 8];
  return cells.map((cell, at) => (at < widths.length ? cell.padStart(widths[at]!) : ` ${cell}`)).join("  ");
}
