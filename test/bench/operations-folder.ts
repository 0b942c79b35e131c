import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { defaultLimits } from "../../src/config/config.ts";
import { fill, withCluster } from "./operations-cluster.ts";
import { count, type Row } from "./store-report.ts";

const valueBytes = 256;
/** Of a put in the log and in a table, beside key and value: rounded up. */
const overheadBytes = 64;
const keyBytes = 12;
const mebibyte = 1024 * 1024;

/** How large a data folder is after many puts over few keys, against what the keys and the configured tail allow. */
export async function measureFolder(puts: number, keys: number): Promise<Row[]> {
  return withCluster({}, async (cluster) => {
    const seconds = await fill(cluster, { name: "few", count: puts, keys, valueBytes });
    await cluster.awaitEqual(60_000);
    // What may go is looked at now and then.
    await Bun.sleep(3_000);
    const sizes = cluster.ports.map((_, index) => {
      const folder = cluster.dataDir(index);
      return { log: sizeOf(join(folder, "log")), store: sizeOf(join(folder, "store")) };
    });
    const entryBytes = keyBytes + valueBytes + overheadBytes;
    const { logTailEntries, logTailBytes, memtableBytes, segmentBytes } = defaultLimits;
    // The tail; what is in memory only, in the memtable that fills and in the one that is being stored; whole files.
    const logAllowed =
      Math.min(logTailBytes, logTailEntries * entryBytes) + 2 * memtableBytes + 2 * segmentBytes;
    // Every key once, again while a merge is under way, and in what was stored since the last merge.
    const storeAllowed = 3 * keys * entryBytes + memtableBytes;
    const allowed = logAllowed + storeAllowed;
    const worst = Math.max(...sizes.map(({ log, store }) => log + store));
    const described = sizes.map(({ log, store }) => `${mib(log)} + ${mib(store)}`).join(", ");
    return [
      {
        what: `folder, ${count(puts)} puts, ${count(keys)} keys`,
        value: worst / mebibyte,
        unit: "MiB",
        aim: `< ${mib(allowed)} MiB`,
        isMet: worst < allowed,
        beside: `log + store of each node: ${described}; ${mib(puts * entryBytes)} MiB were written, in ${seconds.toFixed(0)} s`,
      },
    ];
  });
}

function sizeOf(folder: string): number {
  const names = readdirSync(folder);
  return names.reduce(
    (sum, name) => sum + (statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0),
    0,
  );
}

function mib(bytes: number): string {
  return (bytes / mebibyte).toFixed(0);
}
