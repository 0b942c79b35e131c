/**
 * `bun test/bench/linearizability.ts`: how long the checker of histories takes for those that fit an order of
 * events, and for the same with one read that is stale. Medians of rounds, in ms.
 *
 * Options in the environment: ROUNDS [9], OPERATIONS [10000], CLIENTS [10], UNKNOWN in percent [1].
 */
import { Prng } from "../../src/env/prng.ts";
import { checkLinearizable } from "../history/linearizability.ts";
import type { Operation } from "../history/operation.ts";
import { type HistoryOptions, randomHistory, withStaleRead } from "../history/random-history.ts";

const rounds = Number(process.env["ROUNDS"] ?? 9);
const shared = {
  operations: Number(process.env["OPERATIONS"] ?? 10_000),
  clients: Number(process.env["CLIENTS"] ?? 10),
  unknownPercent: Number(process.env["UNKNOWN"] ?? 1),
  failedPercent: 1,
  latencyMax: 40,
};
const cases: Record<string, HistoryOptions> = {
  "1 key, values of their own": { ...shared, keys: 1 },
  "1 key, 3 values": { ...shared, keys: 1, values: 3 },
  "100 keys, values of their own": { ...shared, keys: 100 },
  "100 keys, 3 values": { ...shared, keys: 100, values: 3 },
};

const { operations, clients, unknownPercent } = shared;
console.log(`${operations} operations, ${clients} clients, ${unknownPercent} % unknown; ${rounds} rounds`);
for (const [name, options] of Object.entries(cases)) {
  const [fits, changed]: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    const prng = new Prng(round);
    const history = randomHistory(prng, options);
    fits.push(timeMs(history, true));
    const stale = withStaleRead(prng, history);
    if (stale !== undefined) changed.push(timeMs(stale, false));
  }
  console.log(`${name.padEnd(32)} fits: ${figures(fits)}   one stale read: ${figures(changed)}`);
}

function timeMs(history: readonly Operation[], wanted: boolean): number {
  const started = performance.now();
  const { ok } = checkLinearizable(history);
  const tookMs = performance.now() - started;
  if (ok !== wanted) throw new Error(`The checker says ${ok}, wanted ${wanted}: the figures mean nothing`);
  return tookMs;
}

function figures(timesMs: readonly number[]): string {
  const sorted = timesMs.toSorted((a, b) => a - b);
  const middle = sorted[Math.floor(sorted.length / 2)]!;
  return `${middle.toFixed(1)} ms (worst ${sorted.at(-1)!.toFixed(1)})`.padEnd(28);
}
