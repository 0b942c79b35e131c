import { describe, expect, test } from "bun:test";
import { Prng } from "../../src/env/prng.ts";
import type { Entry } from "../../src/raft/types.ts";
import type { Persister } from "../../src/raftlog/persister.ts";
import { CrashDisk, type Fate, PowerCut } from "./crash-disk.ts";
import {
  contentOf,
  entries,
  openLog,
  peer,
  print,
  randomEntry,
  save,
  seedOfRun,
  smallOptions,
  state,
} from "./log-fixture.ts";
import { type Step, Twin } from "./log-twin.ts";

const fates: readonly Fate[] = ["lost", "kept", "torn", "torn"];

/** One start that does some saves; returns what was acknowledged, and the save under way when the power was cut. */
function runSteps(disk: CrashDisk, steps: readonly Step[], twin: Twin): { under: Step | undefined } {
  let under: Step | undefined;
  try {
    const { log } = openLog(disk);
    expect(twin.holds(log)).toBe(true);
    for (const step of steps) {
      under = step;
      save(disk, log, step);
      twin.apply(step);
      under = undefined;
    }
  } catch (error) {
    if (!(error instanceof PowerCut)) throw error;
  }
  return { under };
}

/** Opens after a crash, and demands that what is there is what was acknowledged, or that and a part of `under`. */
function check(disk: CrashDisk, twin: Twin, under: Step | undefined, story: string): Twin {
  const { log } = openLog(disk);
  const found = [twin, ...twin.partsOf(under ?? {})].find((one) => one.holds(log));
  if (found === undefined) {
    throw new Error(
      `${story}: found ${JSON.stringify(contentOf(log).entries.map((one) => one.slice(0, 20)))}`,
    );
  }
  return found;
}

/** Cuts the power at every operation of `steps`, with each fate of what was not synced; then a second time at start. */
function cutEverywhere(before: readonly Step[], steps: readonly Step[]): number {
  let cuts = 0;
  for (let powerCutAt = 0; ; powerCutAt++) {
    let isDone = true;
    for (const [at, fate] of fates.entries()) {
      const prng = new Prng(seedOfRun + powerCutAt * 10 + at);
      const disk = new CrashDisk();
      const twin = new Twin();
      runSteps(disk, before, twin);
      const next = disk.crash("kept", prng);
      next.powerCutAt = powerCutAt;
      const { under } = runSteps(next, steps, twin);
      isDone = isDone && next.operations < powerCutAt;
      const story = `SEED=${seedOfRun} operation ${powerCutAt} fate ${fate}`;
      cutStarts(next.crash(fate, prng), twin, under, prng, story);
      cuts++;
    }
    if (isDone) return cuts;
  }
}

/** The start after a crash crashes too, at each of its operations; what was found once must be found again. */
function cutStarts(disk: CrashDisk, twin: Twin, under: Step | undefined, prng: Prng, story: string): void {
  const found = check(disk.copy(), twin, under, story);
  for (let powerCutAt = 0; ; powerCutAt++) {
    const next = disk.copy();
    next.powerCutAt = powerCutAt;
    try {
      openLog(next);
      return;
    } catch (error) {
      if (!(error instanceof PowerCut)) throw error;
    }
    const again = `${story}, then operation ${powerCutAt} of the next start`;
    check(next.crash(prng.pick(fates), prng), found, undefined, again);
  }
}

describe("a power cut at any operation loses nothing that was acknowledged", () => {
  test("of the first start", () => {
    expect(cutEverywhere([], [])).toBeGreaterThan(20);
  });

  test("of an append, a replacement, and a save in several groups", () => {
    const before = [{ hardState: state(1, 0, peer), entries: entries(1, 5, 1) }];
    const steps = [
      { hardState: state(1, 4, peer), entries: entries(5, 7, 1) },
      { entries: entries(7, 9, 1) },
      { hardState: state(2, 4), entries: entries(6, 8, 2) },
      { hardState: state(3, 14), entries: entries(8, 15, 3, 700) },
    ];
    expect(cutEverywhere(before, steps)).toBeGreaterThan(80);
  });

  test("of a rotation", () => {
    const before = [{ hardState: state(1), entries: entries(1, 5, 1, 700) }];
    const steps = [{ hardState: state(1, 4), entries: entries(5, 7, 1, 600) }, { entries: entries(7, 8, 1) }];
    expect(cutEverywhere(before, steps)).toBeGreaterThan(50);
  });

  test("of the repetition of the last group, when that is a hard state alone", () => {
    expect(
      cutEverywhere([{ entries: entries(1, 4, 1) }, { hardState: state(4, 2, peer) }], []),
    ).toBeGreaterThan(20);
  });
});

test("a group that its process never synced is durable once it was read back", () => {
  for (const fate of fates) {
    const prng = new Prng(seedOfRun);
    const disk = new CrashDisk();
    const { log } = openLog(disk);
    save(disk, log, { entries: entries(1, 3, 1) });
    log.saveRaftState({ hardState: state(1, 0, peer), entries: entries(3, 5, 1) }, () => {});
    const killed = disk.kill();
    const again = openLog(killed).log;
    const seen = { ...contentOf(again), ...again.readRaftState() };
    expect(seen.lastIndex).toBe(4);
    const after = openLog(killed.crash(fate, prng)).log;
    expect({ ...contentOf(after), ...after.readRaftState() }).toEqual(seen);
  }
});

function randomStep(prng: Prng, lastIndex: number, term: number): Step {
  const commit = prng.int(0, lastIndex);
  if (prng.chance(1, 6)) return { hardState: state(term, commit, prng.chance(1, 2) ? peer : undefined) };
  const from = prng.chance(1, 5) ? prng.int(1, lastIndex + 1) : lastIndex + 1;
  const list: Entry[] = [];
  const count = prng.int(1, prng.chance(1, 8) ? 40 : 6);
  for (let index = from; index < from + count; index++) list.push(randomEntry(prng, index, term));
  if (prng.chance(1, 3)) return { entries: list };
  return { hardState: state(term, Math.min(commit, from - 1), peer), entries: list };
}

/** Many saves, with clean restarts, kills and power cuts between and within them, against the twin. */
function history(seed: number): void {
  const prng = new Prng(seed);
  let disk = new CrashDisk();
  let twin = new Twin();
  let { log } = openLog(disk);
  let term = 1;
  for (let round = 0; round < 120; round++) {
    const story = `SEED=${seed} round ${round}`;
    if (prng.chance(1, 6)) term++;
    const step = randomStep(prng, log.lastIndex, term);
    if (prng.chance(1, 8)) {
      disk.powerCutAt = disk.operations + prng.int(0, 12);
      let under: Step | undefined = step;
      try {
        save(disk, log, step);
        twin.apply(step);
        under = undefined;
      } catch (error) {
        if (!(error instanceof PowerCut)) throw error;
      }
      disk = disk.crash(prng.pick(fates), prng);
      twin = check(disk.copy(), twin, under, story);
      log = openLog(disk).log;
    } else {
      save(disk, log, step);
      twin.apply(step);
    }
    if (prng.chance(1, 10)) {
      log.close();
      disk = prng.chance(1, 2) ? disk.kill() : disk.crash("lost", prng);
      log = openLog(disk).log;
    }
    if (!twin.holds(log)) throw new Error(`${story}: the log and its twin differ`);
    checkReads(log, twin, prng, story);
  }
}

function checkReads(log: Persister, twin: Twin, prng: Prng, story: string): void {
  const from = prng.int(1, log.lastIndex + 1);
  const limit = prng.int(from, log.lastIndex + 2);
  const bytesMax = prng.int(0, 500);
  const found = log.slice(from, limit, bytesMax);
  const wanted = twin.entries.slice(from - 1, from - 1 + found.length);
  if (found.map(print).join() !== wanted.map(print).join())
    throw new Error(`${story}: slice(${from}, ${limit}) is wrong`);
  const bytes = found.reduce((sum, one) => sum + one.data.length, 0);
  if (found.length > 1 && bytes > bytesMax)
    throw new Error(`${story}: a slice has ${bytes} of ${bytesMax} bytes`);
  const next = log.slice(from + found.length, limit, 1)[0];
  const couldFit = next !== undefined && (found.length === 0 || bytes + next.data.length <= bytesMax);
  if (couldFit) throw new Error(`${story}: a slice stopped early`);
}

test("random histories of saves, restarts, kills and power cuts agree with an array", () => {
  const options = smallOptions;
  expect(options.groupBytesMax).toBeLessThan(options.segmentBytesMax);
  for (let run = 0; run < 12; run++) history(seedOfRun + run);
});
