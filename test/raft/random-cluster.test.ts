import { expect, test } from "bun:test";
import { type Coverage, noCoverage, RandomRun } from "./random-run.ts";

/** `SEED` replays one seed and those after it, `RUNS` says how many. */
const { SEED = "1", RUNS } = process.env;
const seed = Number(SEED);
const runs = Number(RUNS ?? 400);
/** What takes several accidents at once. */
const rare: readonly (keyof Coverage)[] = ["configurationsReplaced", "logsBegunAnew", "crashesWhileSwapped"];

test("random clusters keep every promise, and agree when the faults stop", () => {
  const total = noCoverage();
  for (let at = seed; at < seed + runs; at++) {
    const run = new RandomRun(at);
    try {
      run.run();
    } catch (error) {
      throw new Error(`SEED=${at} RUNS=1: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      });
    }
    for (const key of Object.keys(total) as (keyof Coverage)[]) total[key] += run.coverage[key];
  }
  if (RUNS !== undefined) process.stdout.write(`${JSON.stringify(total)}\n`);
  if (runs < 100) return;
  for (const key of Object.keys(total) as (keyof Coverage)[])
    expect(total[key], `the runs see ${key}: ${JSON.stringify(total)}`).toBeGreaterThan(
      runs / (rare.includes(key) ? 50 : 4),
    );
}, 3_600_000);
