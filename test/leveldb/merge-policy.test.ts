import { expect, test } from "bun:test";
import { type MergeAims, pickMerge, type RunSize } from "../../src/leveldb/merge-policy.ts";
import { eachSeed } from "./seed.ts";

const aims: MergeAims = { runsMax: 100, spaceRatio: 1, spaceRatioMax: 1.5 };

/** Runs of these sizes; those below 0 take part in a merge. */
function runsOf(...sizes: number[]): RunSize[] {
  return sizes.map((size) => ({ bytes: Math.abs(size), isMerging: size < 0 }));
}

test("waits for eight runs of a size, the largest of which is a quarter of them", () => {
  expect(pickMerge(runsOf(1, 1, 1, 1, 1, 1, 1), aims)).toBeUndefined();
  expect(pickMerge(runsOf(1, 1, 1, 1, 1, 1, 1, 1), aims)).toEqual({ from: 0, to: 8 });
  expect(pickMerge(runsOf(1, 1, 1, 1, 1, 1, 1, 9), aims)).toBeUndefined();
  expect(pickMerge(runsOf(1, 1, 1, 1, 1, 1, 1, 1, 9), aims)).toEqual({ from: 0, to: 8 });
  expect(pickMerge(runsOf(1, 9, 9, 9, 9, 9, 9, 9, 9), aims)).toEqual({ from: 0, to: 9 });
  expect(pickMerge(runsOf(100, 1, 1, 1, 1, 1, 1, 1, 1, 2), aims)).toEqual({ from: 1, to: 10 });
});

test("leaves runs alone that are being merged, and does not reach over them", () => {
  expect(pickMerge(runsOf(1, 1, 1, 1, -8, 1, 1, 1, 1), aims)).toBeUndefined();
  expect(pickMerge(runsOf(1, 1, -8, -8, 1, 1, 1, 1, 1, 1, 1, 1), aims)).toEqual({ from: 4, to: 12 });
  expect(pickMerge(runsOf(1, 1, 1, -8), { ...aims, runsMax: 1 })).toBeUndefined();
  expect(pickMerge(runsOf(1, 1, 1, -8), { ...aims, spaceRatio: 9 })).toBeUndefined();
});

test("merges the cheapest neighbours when there are too many runs of different sizes", () => {
  expect(pickMerge(runsOf(1, 10, 100, 1000), { ...aims, runsMax: 4 })).toBeUndefined();
  expect(pickMerge(runsOf(1, 10, 100, 1000), { ...aims, runsMax: 3 })).toEqual({ from: 0, to: 2 });
  expect(pickMerge(runsOf(1000, 10, 9, 1000), { ...aims, runsMax: 3 })).toEqual({ from: 1, to: 3 });
  expect(pickMerge(runsOf(1, 10, 100, 1000), { ...aims, runsMax: 1 })).toEqual({ from: 0, to: 4 });
  expect(pickMerge(runsOf(5), { ...aims, runsMax: 1 })).toBeUndefined();
  expect(pickMerge([], { ...aims, runsMax: 1 })).toBeUndefined();
});

test("merges everything when too much is garbage, but a single run never", () => {
  expect(pickMerge(runsOf(1, 10, 100), { ...aims, spaceRatio: 1.6 })).toEqual({ from: 0, to: 3 });
  expect(pickMerge(runsOf(1, 10, 100), { ...aims, spaceRatio: 1.5 })).toBeUndefined();
  expect(pickMerge(runsOf(100), { ...aims, spaceRatio: 9 })).toBeUndefined();
});

test("what is picked is always two runs or more, all there, all free", () => {
  eachSeed(200, (prng, seed) => {
    const runs = Array.from({ length: prng.int(0, 40) }, () => ({
      bytes: 2 ** prng.int(0, 20),
      isMerging: prng.chance(1, 10),
    }));
    const range = pickMerge(runs, {
      runsMax: prng.int(1, 20),
      spaceRatio: prng.pick([1, 2]),
      spaceRatioMax: 1.5,
    });
    if (range === undefined) return;
    const picked = runs.slice(range.from, range.to);
    expect(picked.length, `SEED=${seed}`).toBe(range.to - range.from);
    expect(picked.length, `SEED=${seed}`).toBeGreaterThanOrEqual(2);
    expect(
      picked.some(({ isMerging }) => isMerging),
      `SEED=${seed}`,
    ).toBe(false);
  });
});

test("keeps the runs few and writes each row a logarithmic number of times", () => {
  let runs: RunSize[] = [];
  let written = 0;
  const flushes = 4096;
  for (let flush = 0; flush < flushes; flush++) {
    runs.unshift({ bytes: 16, isMerging: false });
    for (let range = pickMerge(runs, aims); range !== undefined; range = pickMerge(runs, aims)) {
      const bytes = runs.slice(range.from, range.to).reduce((sum, run) => sum + run.bytes, 0);
      written += bytes;
      runs = [...runs.slice(0, range.from), { bytes, isMerging: false }, ...runs.slice(range.to)];
    }
    expect(runs.length).toBeLessThanOrEqual(7 * 4 + 1);
  }
  expect(written / (flushes * 16)).toBeLessThanOrEqual(Math.log(flushes) / Math.log(4));
});
