/**
 * `make bench-operations`: what running a cluster costs its clients. Three nodes of the built binary with the default
 * timings: a transfer of the state, compaction of the log, a leader that is killed or stopped, a restart, the size of the
 * folder, a follower that comes back. Each figure stands beside the bound that is wanted and what it is compared with,
 * from the same run.
 *
 * Options in the environment: ONLY, some of transfer, compaction, kills, replay, stops, folder, catch-up [all];
 * BYTES of the state that is transferred [1 GB], ROUNDS of compaction [5], KILLS [20], STOPS [10], ENTRIES to replay
 * [1000000], PUTS over KEYS for the folder [5000000, 10000], MISSED puts of a follower [1000000]; TMPDIR for the data.
 */
import { cleanUp } from "../e2e/processes.ts";
import { measureCompaction } from "./operations-compaction.ts";
import { measureKills, measureStops } from "./operations-failover.ts";
import { measureFolder } from "./operations-folder.ts";
import { measureReplay } from "./operations-replay.ts";
import { measureCatchUp, measureTransfer } from "./operations-transfer.ts";
import { printRows, type Row } from "./store-report.ts";

const measurements: Readonly<Record<string, () => Promise<Row[]>>> = {
  compaction: () => measureCompaction(numberOf("ROUNDS", 5)),
  kills: () => measureKills(numberOf("KILLS", 20)),
  stops: () => measureStops(numberOf("STOPS", 10)),
  replay: () => measureReplay(numberOf("ENTRIES", 1_000_000)),
  transfer: () => measureTransfer(numberOf("BYTES", 1e9)),
  "catch-up": () => measureCatchUp(numberOf("MISSED", 1_000_000)),
  folder: () => measureFolder(numberOf("PUTS", 5_000_000), numberOf("KEYS", 10_000)),
};

const wanted = (process.env["ONLY"] ?? Object.keys(measurements).join(",")).split(",");
const rows: Row[] = [];
try {
  for (const name of wanted) {
    const measure = measurements[name];
    if (measure === undefined) throw new Error(`Cannot measure "${name}": found in ONLY`);
    process.stderr.write(`${name} ...\n`);
    rows.push(...(await measure()));
  }
} finally {
  if (rows.length > 0) printRows(rows);
  await cleanUp();
}
process.exit();

function numberOf(name: string, otherwise: number): number {
  const number = Number(process.env[name] ?? otherwise);
  if (number > 0) return number;
  throw new Error(`Cannot read ${name}: found "${process.env[name]}"; wanted a number above 0`);
}
