import type { Cluster } from "../e2e/cluster.ts";
import { until } from "../e2e/wait.ts";
import type { LoadResult } from "./load.ts";
import {
  failuresOf,
  fill,
  loadClients,
  loadLeader,
  watchMemory,
  watchProcessors,
  withCluster,
} from "./operations-cluster.ts";
import { count, median, type Row } from "./store-report.ts";

/** So that a gigabyte is there in less than a minute. */
const valueBytes = 4096;
const turnSeconds = 3;
const transferSecondsMax = 600;
/** So long that memtables have come and gone: what the load itself needs is what was seen before. */
const warmUpSeconds = 40;
const mebibyte = 1024 * 1024;

/**
 * Puts/s while the whole state streams to a follower, as a share of the puts/s without: in turns, in one run. In between the
 * follower is stopped in its tracks (SIGSTOP), and the transfer with it; at no time is it needed for a majority.
 */
export async function measureTransfer(bytes: number): Promise<Row[]> {
  return withCluster({}, async (cluster) => {
    const leader = await cluster.awaitLeader();
    const away = (leader + 1) % 3;
    await cluster.stop(away);
    const puts = Math.ceil(bytes / valueBytes);
    const fillSeconds = await fill(cluster, { name: "state", count: puts, keys: puts, valueBytes });
    const leaderPid = cluster.servers[leader]!.pid;
    const memoryBefore = watchMemory(leaderPid);
    await loadLeader(cluster, warmUpSeconds);
    const before = memoryBefore();

    const memoryDuring = watchMemory(leaderPid);
    cluster.restart(away);
    await until("a transfer", () => cluster.logOf(away).includes("Fetching the state"), 30_000);
    const { withIt, without, seconds, processors } = await inTurns(cluster, away);
    const during = memoryDuring();
    await until("a level follower", async () => (await lagOf(cluster, away)) < 1000, 120_000);
    const after = await loadLeader(cluster, turnSeconds);
    const [rate, otherRate] = [withIt, without].map((turns) => median(turns.map((each) => each.perSecond))!);
    const ratio = rate! / otherRate!;
    const grownBytes = during.resident - before.resident;
    return [
      {
        what: `puts of ${loadClients} clients in a transfer`,
        value: ratio,
        unit: "times",
        aim: "> 0.70",
        isMet: ratio > 0.7,
        beside:
          `${rate!.toFixed(0)} a second, ${otherRate!.toFixed(0)} without: medians of ${withIt.length} turns; ` +
          `${after.perSecond.toFixed(0)} afterwards${failuresOf(...withIt, ...without, after)}`,
      },
      { what: "  of a processor", value: undefined, unit: "", beside: processors },
      {
        what: "  the transfer took",
        value: seconds,
        unit: "s",
        beside:
          `${count(puts)} values of ${valueBytes} bytes, put in ${fillSeconds.toFixed(0)} s; ` +
          `${(bytes / mebibyte / seconds).toFixed(0)} MiB/s`,
      },
      {
        what: "  the leader's memory grew by",
        value: grownBytes / mebibyte,
        unit: "MiB",
        aim: "< 64",
        isMet: grownBytes < 64 * mebibyte,
        beside: `${(before.resident / mebibyte).toFixed(0)} MiB at most before, under the same load`,
      },
    ];
  });
}

interface Turns {
  readonly withIt: readonly LoadResult[];
  readonly without: readonly LoadResult[];
  /** While the follower was at it. */
  readonly seconds: number;
  /** Who used the processors in the last whole turns. */
  readonly processors: string;
}

/** Lets the transfer to `away` go on and stops it, in turns, until it is there. */
async function inTurns(cluster: Cluster, away: number): Promise<Turns> {
  const [withIt, without] = [[], []] as [LoadResult[], LoadResult[]];
  const isFetched = fetchOf(cluster, away);
  let [seconds, processors] = [0, ""];
  while (!isFetched()) {
    if (seconds > transferSecondsMax) throw new Error(`No end after ${transferSecondsMax} s of transfer`);
    const usedWith = watchProcessors(cluster);
    const startMs = performance.now();
    let turn = 0;
    const result = await loadLeader(cluster, (nowMs) => {
      turn = (nowMs - startMs) / 1000;
      return turn >= turnSeconds || isFetched();
    });
    seconds += turn;
    if (turn < turnSeconds / 2 && withIt.length > 0) break;
    withIt.push(result);
    const used = usedWith();
    cluster.pause(away);
    const usedWithout = watchProcessors(cluster);
    without.push(await loadLeader(cluster, turnSeconds));
    processors = `${used}; without: ${usedWithout()}`;
    cluster.resume(away);
  }
  return { withIt, without, seconds, processors };
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
    const way = fetchOf(cluster, away)() ? "by snapshot" : "by the log";
    return [
      {
        what: `level after ${count(puts)} missed puts`,
        value: seconds,
        unit: "s",
        beside: `${way}, under ${load.perSecond.toFixed(0)} puts/s; the puts took ${fillSeconds.toFixed(0)} s${failuresOf(load)}`,
      },
    ];
  });
}

/** Whether a node has fetched a state. Asked at every reply, it looks into the log of the node now and then. */
function fetchOf(cluster: Cluster, place: number): () => boolean {
  let [isDone, lookAtMs] = [false, 0];
  return () => {
    const nowMs = performance.now();
    if (isDone || nowMs < lookAtMs) return isDone;
    isDone = /The state after entry \d+ is there/.test(cluster.logOf(place));
    lookAtMs = nowMs + 50;
    return isDone;
  };
}

/** Entries that the leader has and this node is not known to have; without bound while it gets the state. */
async function lagOf(cluster: Cluster, place: number): Promise<number> {
  const nodes = await cluster.status();
  const followers = nodes.find(({ role }) => role === "leader")?.followers ?? [];
  const follower = followers.find(({ address }) => address === cluster.address(place));
  return follower?.state === "replicate" ? (follower.lag ?? 0) : Number.POSITIVE_INFINITY;
}
