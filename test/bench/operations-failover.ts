import type { Cluster } from "../e2e/cluster.ts";
import { Workload } from "../e2e/workload.ts";
import { withCluster } from "./operations-cluster.ts";
import { median, type Row } from "./store-report.ts";

const clientCount = 4;

/** Kills the leader with -9 again and again: when is the first write done that began afterwards? */
export async function measureKills(kills: number): Promise<Row[]> {
  const [first, slowest] = [[], []] as [number[], number[]];
  const margin = await withLoad(kills, async (cluster, leader, workload) => {
    const gaps = workload.gaps();
    await cluster.kill9(leader);
    first.push(Math.min(...(await gaps)));
    slowest.push(Math.max(...(await gaps)));
  });
  const beside = (of: (values: readonly number[]) => number) =>
    `${of(first).toFixed(0)} ms for the first of them; `;
  return [
    atMost(
      `after kill -9, ${clientCount} clients write again`,
      median(slowest)!,
      150,
      beside(middle) + margin,
    ),
    atMost(
      "  the worst",
      Math.max(...slowest),
      700,
      beside((values) => Math.max(...values)) + listOf(slowest),
    ),
  ];
}

/** Stops the leader with SIGTERM again and again: how long does a write take at the most? */
export async function measureStops(stops: number): Promise<Row[]> {
  const longest: number[] = [];
  const margin = await withLoad(stops, async (cluster, leader, workload) => {
    const slowest = workload.watch();
    const status = await cluster.stop(leader);
    if (status !== 0) throw new Error(`A leader ended with ${status} after SIGTERM`);
    await Bun.sleep(200);
    longest.push(slowest());
  });
  return [
    atMost("SIGTERM of the leader, the longest gap", median(longest)!, 100, margin),
    {
      what: "  the worst",
      value: Math.max(...longest),
      unit: "ms",
      beside: listOf(longest),
    },
  ];
}

/** Ends a leader under load so many times, and has it come back; yields a note on the load. */
async function withLoad(
  times: number,
  end: (cluster: Cluster, leader: number, workload: Workload) => Promise<void>,
): Promise<string> {
  return withCluster({}, async (cluster) => {
    const clients = Array.from({ length: clientCount }, () => cluster.client({ timeoutMs: 20_000 }));
    await Promise.all(clients.map((client) => client.put("warm", "up")));
    const workload = new Workload(clients);
    for (let time = 0; time < times; time++) {
      const leader = await cluster.awaitLeader();
      await Bun.sleep(500);
      await end(cluster, leader, workload);
      cluster.restart(leader);
      await cluster.awaitCaughtUp(leader);
    }
    await workload.stop();
    const { acknowledgedCount, unknownCount, notDoneCount } = workload;
    return `${times} times; ${acknowledgedCount} writes, ${unknownCount} unknown, ${notDoneCount} not done`;
  });
}

function atMost(what: string, value: number, most: number, beside: string): Row {
  return { what, value, unit: "ms", aim: `< ${most} ms`, isMet: value < most, beside };
}

function middle(values: readonly number[]): number {
  return median(values)!;
}

function listOf(values: readonly number[]): string {
  return `in order: ${values
    .toSorted((a, b) => a - b)
    .map((ms) => ms.toFixed(0))
    .join(", ")}`;
}
