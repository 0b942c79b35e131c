/**
 * Runs fuzz targets for a while:
 *
 *     [SEED=n] bun test/fuzz/main.ts [target...] [--seconds 60] [--cases n]
 *
 * Ends with status 1 at the first case that breaks a promise, hangs, or when memory grows between a warm-up and the end.
 */
import { parseArgs } from "node:util";
import { messageOf } from "../../src/lib/error.ts";
import { type FuzzTarget, fuzz } from "./fuzzer.ts";
import { removeScratch } from "./scratch.ts";
import { targets } from "./targets.ts";
import { type Watchdog, watch } from "./watchdog.ts";

interface Memory {
  readonly rss: number;
  readonly heapUsed: number;
  readonly arrayBuffers: number;
}

const mebibyte = 1024 * 1024;
/** What may be left after a run beyond what was there after the warm-up; pages that the allocator keeps are in rss. */
const growthMax: Memory = { rss: 128 * mebibyte, heapUsed: 24 * mebibyte, arrayBuffers: 16 * mebibyte };
const memoryKinds = ["rss", "heapUsed", "arrayBuffers"] as const;
const warmUpSecondsMax = 10;

const { SEED } = process.env;
const { values, positionals } = parseArgs({
  options: { seconds: { type: "string", default: "60" }, cases: { type: "string" } },
  allowPositionals: true,
});
const unknown = positionals.filter((name) => !targets.some((target) => target.name === name));
if (unknown.length > 0) {
  console.error(
    `Unknown target ${unknown.join(" ")}; there are ${targets.map(({ name }) => name).join(" ")}`,
  );
  process.exit(2);
}
const chosen = targets.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
const seed = SEED === undefined ? (crypto.getRandomValues(new Uint32Array(1))[0] ?? 0) : Number(SEED);

for (const target of chosen) {
  const watchdog = watch(target.name);
  try {
    if (values.cases === undefined) await runFor(target, Number(values.seconds), watchdog);
    else await runCases(target, Number(values.cases), watchdog);
  } catch (error) {
    console.error(messageOf(error));
    process.exitCode = 1;
  }
  await watchdog.stop();
}
removeScratch();

async function runCases(target: FuzzTarget, casesMax: number, watchdog: Watchdog): Promise<void> {
  const { cases, seconds } = await fuzz(target, seed, { casesMax }, watchdog.begins);
  console.log(`${target.name}: SEED=${seed}, ${cases} cases in ${seconds.toFixed(1)} s`);
}

/** Memory is compared from the end of a warm-up on, when code is compiled and buffers have their size. */
async function runFor(target: FuzzTarget, seconds: number, watchdog: Watchdog): Promise<void> {
  const warmUpSeconds = Math.min(warmUpSecondsMax, seconds / 3);
  const warmUp = await fuzz(target, seed, { secondsMax: warmUpSeconds }, watchdog.begins);
  const before = memoryNow();
  const bounds = { secondsMax: seconds - warmUpSeconds };
  const run = await fuzz(target, seed + warmUp.cases, bounds, watchdog.begins);
  const after = memoryNow();
  const slowestMs = Math.max(warmUp.slowestMs, run.slowestMs);
  console.log(
    `${target.name}: SEED=${seed}, ${warmUp.cases + run.cases} cases, ${Math.round(run.cases / run.seconds)} per s, ` +
      `slowest ${slowestMs.toFixed(0)} ms; ${memoryKinds.map((kind) => growthOf(kind, before, after)).join(", ")}`,
  );
  for (const kind of memoryKinds)
    if (after[kind] - before[kind] > growthMax[kind])
      throw new Error(
        `${target.name} grows: ${growthOf(kind, before, after)}, at most ${inMebibytes(growthMax[kind])} more are allowed ` +
          `(SEED=${seed}, ${run.cases} cases)`,
      );
}

function memoryNow(): Memory {
  Bun.gc(true);
  return process.memoryUsage();
}

function growthOf(kind: keyof Memory, before: Memory, after: Memory): string {
  return `${kind} ${inMebibytes(before[kind])} to ${inMebibytes(after[kind])}`;
}

function inMebibytes(bytes: number): string {
  return `${(bytes / mebibyte).toFixed(1)} MiB`;
}
