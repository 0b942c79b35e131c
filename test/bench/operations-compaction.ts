import type { Cluster } from "../e2e/cluster.ts";
import { failuresOf, loadClients, loadLeader, withCluster } from "./operations-cluster.ts";
import { median, type Row } from "./store-report.ts";

const roundSeconds = 5;

/** In both clusters small, so that there is something to drop all the time in the one that drops it. */
const limits = { keyBytes: 128, valueBytes: "64KiB", memtableBytes: "4MiB", segmentBytes: "1MiB" };
const dropped = { ...limits, logTailEntries: 0, logTailBytes: 0 };
const kept = { ...limits, logTailEntries: 1_000_000_000, logTailBytes: "1024GiB" };

/** The latency of puts in a cluster that drops its log all the time, and in one that never does, in turns. */
export async function measureCompaction(rounds: number): Promise<Row[]> {
  return withCluster({ limits: dropped }, (drops) =>
    withCluster({ limits: kept }, async (keeps) => {
      await loadLeader(drops, roundSeconds);
      await loadLeader(keeps, roundSeconds);
      const [dropping, keeping] = [[], []] as [number[], number[]];
      let margin = "";
      for (let round = 0; round < rounds; round++) {
        const one = await loadLeader(drops, roundSeconds);
        const other = await loadLeader(keeps, roundSeconds);
        dropping.push(one.p99Ms);
        keeping.push(other.p99Ms);
        margin ||= failuresOf(one, other);
      }
      const ratio = median(dropping)! / median(keeping)!;
      return [
        {
          what: `p99 of puts of ${loadClients}, dropping the log`,
          value: ratio,
          unit: "times",
          aim: "< 2",
          isMet: ratio < 2,
          beside:
            `${median(dropping)!.toFixed(2)} ms, ${median(keeping)!.toFixed(2)} ms keeping it; medians of ${rounds} rounds in turns; logs begin at ` +
            `${await firstIndexOf(drops)} and ${await firstIndexOf(keeps)}${margin}`,
        },
      ];
    }),
  );
}

/** Of the node that dropped the most. */
async function firstIndexOf(cluster: Cluster): Promise<number> {
  return Math.max(...(await cluster.status()).map(({ firstIndex }) => firstIndex ?? 0));
}
