/**
 * `make sim`: runs a budget of seeds, or one of them exactly.
 *
 *     RUNS=2000        so many seeds, counted up from a random one [100]
 *     SEED=n           replays one; a commit hash is a seed too
 *     TRACE=1          with SEED: prints every event
 *     SHRINK=1         with SEED: makes a failing world smaller, and prints what is left
 */

import { CoverageSum } from "./coverage-sum.ts";
import { drawPlan } from "./draw-plan.ts";
import { describePlan, type Plan } from "./plan.ts";
import { type Report, runPlan } from "./run-plan.ts";
import { seedOf } from "./seeds.ts";
import { shrink } from "./shrink.ts";

const { RUNS: runs = "100", SEED: seed, TRACE: trace, SHRINK: wantsShrink } = process.env;

/** So many runs have to have had everything: a simulator that does little finds little. */
const runsThatSeeAll = 2000;

if (seed !== undefined) await replay(seedOf(seed));
else await runMany(Number(runs));

async function replay(asked: number): Promise<void> {
  const plan = drawPlan(asked);
  for (const line of describePlan(plan)) console.log(line);
  const report = await runPlan(plan, trace === "1" ? (line) => console.log(line) : undefined);
  tell(report);
  if (report.reason !== undefined && wantsShrink === "1") await tellShrunk(plan);
  process.exit(report.reason === undefined ? 0 : 1);
}

async function runMany(count: number): Promise<void> {
  const first = seedOf(crypto.randomUUID().replaceAll("-", ""));
  const startMs = performance.now();
  const coverage = new CoverageSum();
  const sum = { runs: 0, failed: 0, operations: 0, acknowledged: 0, virtualMs: 0 };
  console.log(`seeds ${first}..${first + count - 1}`);
  for (let at = 0; at < count; at++) {
    const report = await runPlan(drawPlan(first + at));
    sum.runs++;
    sum.operations += report.operations;
    sum.acknowledged += report.acknowledged;
    sum.virtualMs += report.virtualMs;
    coverage.add(report);
    if (report.reason !== undefined) {
      sum.failed++;
      for (const line of describePlan(report.plan)) console.log(line);
      tell(report);
    }
    if (process.stderr.isTTY) process.stderr.write(`\r${at + 1} of ${count}, ${sum.failed} failed `);
  }
  const seconds = (performance.now() - startMs) / 1000;
  console.log(
    `${sum.runs} runs, ${sum.failed} failed: ${sum.operations} operations, ${sum.acknowledged} of them ok; ` +
      `${(sum.virtualMs / 1000).toFixed(0)} s of virtual time in ${seconds.toFixed(1)} s, ` +
      `${(sum.virtualMs / 1000 / seconds).toFixed(0)} times real time, ${((60 * sum.runs) / seconds).toFixed(0)} runs a minute`,
  );
  for (const line of coverage.describe()) console.log(`  ${line}`);
  const { missing } = coverage;
  if (missing.length > 0) console.log(`nothing was seen of: ${missing.join(", ")}`);
  const isThin = count >= runsThatSeeAll && missing.length > 0;
  process.exit(sum.failed === 0 && !isThin ? 0 : 1);
}

function tell(report: Report): void {
  const { plan, reason, stack, lastEvents, operations, acknowledged, virtualMs, fingerprint } = report;
  if (reason === undefined) {
    console.log(
      `seed ${plan.seed} passed: ${operations} operations, ${acknowledged} ok, ` +
        `${(virtualMs / 1000).toFixed(1)} s of virtual time, fingerprint ${fingerprint}`,
    );
    return;
  }
  console.log("the last events:");
  for (const line of lastEvents) console.log(line);
  console.log(`seed ${plan.seed} failed: ${reason}\n${stack}`);
  console.log(`again: make sim SEED=${plan.seed}   every event: TRACE=1   a smaller story: SHRINK=1`);
}

async function tellShrunk(plan: Plan): Promise<void> {
  const small = await shrink(
    plan,
    async (candidate) => (await runPlan(candidate)).reason,
    (line) => console.log(line),
  );
  console.log("the smallest world that still fails:");
  for (const line of describePlan(small)) console.log(line);
  tell(await runPlan(small));
}
