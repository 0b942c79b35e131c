import type { Cluster } from "../e2e/cluster.ts";
import { until } from "../e2e/wait.ts";
import {
  failuresOf,
  fill,
  loadClients,
  loadLeader,
  watchMemory,
  watchProcessors,
  withCluster,
} from "./operations-cluster.ts";
import { count, type Row } from "./store-report.ts";

/** So that a gigabyte is there in less than a minute. */
const valueBytes = 4096;
const loadSeconds = 10;
const mebibyte = 1024 * 1024;

/**
 * Puts/s while the whole state streams to a follower, as a share of the puts/s before, with the follower stopped: both
 * times two nodes store the entries. And what the transfer costs the leader in memory.
 */
export async function measureTransfer(bytes: number): Promise<Row[]> {
  return withCluster({}, async (cluster) => {
    const leader = await cluster.awaitLeader();
    const away = (leader + 1) % 3;
    await cluster.stop(away);
    const puts = Math.ceil(bytes / valueBytes);
    const fillSeconds = await fill(cluster, { name: "state", count: puts, keys: puts, valueBytes });
    await loadLeader(cluster, loadSeconds);

    const memoryBefore = watchMemory(cluster.servers[leader]!.pid);
    const processorsBefore = watchProcessors(cluster);
    const before = await loadLeader(cluster, loadSeconds);
    const usedBefore = processorsBefore();
    const beforeBytes = memoryBefore();
    const memoryDuring = watchMemory(cluster.servers[leader]!.pid);
    cluster.restart(away);
    await until("a transfer", () => cluster.logOf(away).includes("Fetching the state"), 30_000);
    const processorsDuring = watchProcessors(cluster);
    const startMs = performance.now();
    let seconds = 0;
    const during = await loadLeader(cluster, () => {
      seconds = (performance.now() - startMs) / 1000;
      return isFetched(cluster, away) || seconds > 600;
    });
    const usedDuring = processorsDuring();
    const grownBytes = memoryDuring() - beforeBytes;
    if (!isFetched(cluster, away)) throw new Error("The transfer did not end within ten minutes");
    await until("a level follower", async () => (await lagOf(cluster, away)) < 1000, 120_000);
    const after = await loadLeader(cluster, loadSeconds);
    const ratio = during.perSecond / before.perSecond;
    const rate = (each: { perSecond: number }) => each.perSecond.toFixed(0);
    const size = `${count(puts)} values of ${valueBytes} bytes`;
    return [
      {
        what: `puts/s, ${loadClients} clients, during a transfer`,
        value: during.perSecond,
        unit: "puts/s",
        ratio,
        aim: "> 0.70 times",
        isMet: ratio > 0.7,
        beside: `${rate(before)} before it, ${rate(after)} after it with three nodes${failuresOf(before, during, after)}`,
      },
      {
        what: "  of a processor, during and before",
        value: undefined,
        unit: "",
        beside: `${usedDuring}; ${usedBefore}`,
      },
      {
        what: "the transfer",
        value: seconds,
        unit: "s",
        beside: `${size}, put in ${fillSeconds.toFixed(0)} s; ${(bytes / mebibyte / seconds).toFixed(0)} MiB/s`,
      },
      {
        what: "the leader's memory, growth meanwhile",
        value: grownBytes / mebibyte,
        unit: "MiB",
        aim: "< 64 MiB",
        isMet: grownBytes < 64 * mebibyte,
        beside: `${(beforeBytes / mebibyte).toFixed(0)} MiB at most before`,
      },
    ];
  });
}

/** A follower that was stopped before so many puts gets the state, and then what was written meanwhile, under load. */
export async function measureCatchUp(puts: number): Promise<Row[]> {
  return withCluster({}, async (cluster) => {
    const away = ((await cluster.awaitLeader()) + 1) % 3;
    await cluster.stop(away);
    const fillSeconds = await fill(cluster, { name: "missed", count: puts, keys: puts, valueBytes: 256 });
    cluster.restart(away);
    const startMs = performance.now();
    let isLevel = false;
    const level = until("a level follower", async () => (await lagOf(cluster, away)) < 1000, 300_000).finally(
      () => {
        isLevel = true;
      },
    );
    const load = await loadLeader(cluster, () => isLevel);
    await level;
    const seconds = (performance.now() - startMs) / 1000;
    const way = isFetched(cluster, away) ? "by snapshot" : "by the log";
    return [
      {
        what: `a follower that missed ${count(puts)} puts is level`,
        value: seconds,
        unit: "s",
        beside: `${way}, under ${load.perSecond.toFixed(0)} puts/s; the puts took ${fillSeconds.toFixed(0)} s${failuresOf(load)}`,
      },
    ];
  });
}

function isFetched(cluster: Cluster, place: number): boolean {
  return /The state after entry \d+ is there/.test(cluster.logOf(place));
}

/** Entries that the leader has and this node is not known to have; without bound while it gets the state. */
async function lagOf(cluster: Cluster, place: number): Promise<number> {
  const nodes = await cluster.status();
  const followers = nodes.find(({ role }) => role === "leader")?.followers ?? [];
  const follower = followers.find(({ address }) => address === cluster.address(place));
  return follower?.state === "replicate" ? (follower.lag ?? 0) : Number.POSITIVE_INFINITY;
}
