import { until } from "../e2e/wait.ts";
import { fill, withCluster } from "./operations-cluster.ts";
import { count, type Row } from "./store-report.ts";

const valueBytes = 100;

/** Kills a follower whose memory was never stored, and starts it: until it has applied again all that it had. */
export async function measureReplay(entries: number): Promise<Row[]> {
  return withCluster({ limits: { memtableBytes: "1GiB" } }, async (cluster) => {
    await fill(cluster, { name: "replayed", count: entries, keys: entries, valueBytes });
    const node = ((await cluster.awaitLeader()) + 1) % 3;
    await cluster.awaitEqual(60_000);
    const before = (await cluster.status())[node]!;
    await cluster.kill9(node);
    const startMs = performance.now();
    cluster.restart(node);
    await until(
      "the node has applied all it had",
      async () => ((await cluster.status())[node]!.applied ?? 0) >= before.applied!,
      120_000,
    );
    const seconds = (performance.now() - startMs) / 1000;
    return [
      {
        what: `restart, ${count(entries)} entries to replay`,
        value: seconds,
        unit: "s",
        aim: "< 3 s",
        isMet: seconds < 3,
        beside: `${count(before.applied! - before.snapshotIndex!)} entries that the store did not have, ${valueBytes} byte values, log of ${count(before.logBytes!)} bytes`,
      },
    ];
  });
}
