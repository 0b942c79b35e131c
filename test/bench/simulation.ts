/**
 * The speed of the simulator on one core: runs of clusters of 3 to 5 nodes with 200 client operations each, from fixed seeds.
 * `bun test/bench/simulation.ts [runs]`.
 */
import { drawPlan } from "../sim/draw-plan.ts";
import { runPlan } from "../sim/run-plan.ts";

const runs = Number(process.argv[2] ?? 100);
const rounds = 3;
const figures: { readonly runsPerMinute: number; readonly timesRealTime: number }[] = [];
for (let round = 0; round < rounds; round++) {
  const startMs = performance.now();
  let virtualMs = 0;
  for (let seed = 1; seed <= runs; seed++) {
    const report = await runPlan(drawPlan(seed, { isStandard: true }));
    if (report.reason !== undefined) throw new Error(`Seed ${seed} failed: ${report.reason}`);
    virtualMs += report.virtualMs;
  }
  const ms = performance.now() - startMs;
  figures.push({ runsPerMinute: (60_000 * runs) / ms, timesRealTime: virtualMs / ms });
}
const median = (numbers: number[]) => numbers.sort((a, b) => a - b)[numbers.length >> 1]!;
console.log(
  `simulator, ${rounds} times ${runs} runs, 3 to 5 nodes, 200 operations each, median: ` +
    `${median(figures.map(({ runsPerMinute }) => runsPerMinute)).toFixed(0)} runs a minute, ` +
    `${median(figures.map(({ timesRealTime }) => timesRealTime)).toFixed(0)} times real time`,
);
