/**
 * A power cut at every step of a compaction and of a start anew, and every set of names that it may leave. What comes
 * back is the log before the step or the one after it, and goes on from there.
 */
import { expect, test } from "bun:test";
import { Prng } from "../../src/env/prng.ts";
import type { Entry, EntryId } from "../../src/raft/types.ts";
import type { Keep } from "../../src/raftlog/compaction.ts";
import type { Persister } from "../../src/raftlog/persister.ts";
import { CrashDisk, type Fate, PowerCut } from "./crash-disk.ts";
import {
  contentOf,
  entries,
  entry,
  folder,
  openLog,
  peer,
  print,
  randomEntry,
  save,
  seedOfRun,
  state,
} from "./log-fixture.ts";
import { type Step, Twin } from "./log-twin.ts";

type Action =
  | { readonly save: Step }
  /** Compactions, each of one segment at most, beside a save or alone. */
  | { readonly compact: Keep; readonly times: number; readonly beside?: Step }
  | { readonly restart: EntryId };

const fates: readonly Fate[] = ["lost", "kept", "torn"];

/** Answers questions with yes or no: all combinations of answers, one after the other. */
class EveryAnswer {
  readonly #answers: boolean[] = [];
  #at = 0;

  readonly ask = (): boolean => {
    if (this.#at === this.#answers.length) this.#answers.push(false);
    return this.#answers[this.#at++]!;
  };

  /** Goes on to the next combination; false after the last. */
  next(): boolean {
    while (this.#answers.at(-1) === true) this.#answers.pop();
    if (this.#answers.length === 0) return false;
    this.#answers[this.#answers.length - 1] = true;
    this.#at = 0;
    return true;
  }
}

/** A log and its twin; after a power cut, what the disk may hold besides what the twin does. */
class Pair {
  disk: CrashDisk;
  log: Persister;
  twin: Twin;
  candidates: Twin[] = [];

  constructor(disk: CrashDisk, twin: Twin) {
    this.disk = disk;
    this.log = openLog(disk).log;
    this.twin = twin;
  }

  /** Does it; false when the power was cut meanwhile. */
  does(action: Action): boolean {
    try {
      if ("save" in action) this.#save(action.save);
      else if ("restart" in action) this.#restart(action.restart);
      else this.#compactions(action);
    } catch (error) {
      if (!(error instanceof PowerCut)) throw error;
    }
    if (!this.disk.wasCut && !this.twin.holds(this.log)) throw new Error(`the log differs from its twin`);
    return !this.disk.wasCut;
  }

  #save(step: Step): void {
    this.candidates = [...this.twin.partsOf(step)];
    save(this.disk, this.log, step);
    this.twin.apply(step);
  }

  #restart(start: EntryId): void {
    this.candidates = [...this.twin.partsOf({ start })];
    this.log.restartSync(start);
    this.twin.apply({ start });
  }

  #compactions({ compact, times, beside }: { compact: Keep; times: number; beside?: Step }): void {
    let isDone = beside === undefined;
    if (beside !== undefined) {
      this.candidates = [...this.twin.partsOf(beside)];
      this.log.saveRaftState({ hardState: undefined, entries: [], ...beside }, (error) => {
        isDone = error === undefined;
      });
    }
    // The last write of a save ends it: nothing is compacted beside it then.
    for (let at = 0; at < times && !this.disk.wasCut && !(beside !== undefined && isDone); at++)
      this.#compact(compact, beside);
    if (beside === undefined || this.disk.wasCut) return;
    this.disk.run();
    if (this.disk.wasCut) return;
    if (!isDone) throw new Error("the save never ended");
    this.twin.apply(beside);
  }

  #compact(keep: Keep, beside: Step | undefined): void {
    const before = this.twin.copy();
    this.log.compact(keep);
    if (this.log.firstIndex > before.firstIndex) {
      expect(this.log.firstIndex).toBeLessThanOrEqual(keep.upTo + 1);
      this.twin.dropTo(this.log.firstIndex);
    }
    this.candidates = [before, this.twin].flatMap((twin) => [...twin.partsOf(beside ?? {})]);
    if (!this.disk.wasCut && this.disk.pendingCount > 1) this.disk.runOne();
  }

  /** What the next start finds must be one of the candidates. */
  found(disk: CrashDisk, story: string): Twin {
    const { log } = openLog(disk);
    const found = [this.twin, ...this.candidates].find((one) => one.holds(log));
    if (found !== undefined) return found.copy();
    const shown = contentOf(log).entries.map((one) => one.slice(0, 20));
    throw new Error(
      `${story}: found ${log.firstIndex} ${JSON.stringify([log.readRaftState().hardState, shown])}`,
    );
  }
}

/** Does `before` once, and the actions again and again, with the power cut at each operation and with all its images. */
function cutEverywhere(before: readonly Action[], actions: readonly Action[]): number {
  const prepared = new Pair(new CrashDisk(), new Twin());
  for (const action of before) expect(prepared.does(action)).toBe(true);
  let images = 0;
  for (let powerCutAt = 0; ; powerCutAt++) {
    let wasCut = false;
    for (const fate of fates) {
      const names = new EveryAnswer();
      do {
        const prng = new Prng(seedOfRun + 1000 * powerCutAt + images);
        const pair = new Pair(prepared.disk.copy(), prepared.twin.copy());
        pair.disk.powerCutAt = pair.disk.operations + powerCutAt;
        wasCut = !actions.every((action) => pair.does(action));
        const story = `SEED=${seedOfRun} operation ${powerCutAt} fate ${fate} image ${images++}`;
        const image = pair.disk.crash(fate, prng, names.ask);
        const found = pair.found(image.copy(), story);
        cutStarts(image, found, prng, story);
        goOn(image, found, prng, story);
      } while (names.next());
    }
    if (!wasCut) return images;
  }
}

/** The start after a crash crashes too, at each of its operations; what was found once must be found again. */
function cutStarts(image: CrashDisk, found: Twin, prng: Prng, story: string): void {
  for (let powerCutAt = 0; ; powerCutAt++) {
    const disk = image.copy();
    disk.powerCutAt = powerCutAt;
    try {
      openLog(disk);
      return;
    } catch (error) {
      if (!(error instanceof PowerCut)) throw error;
    }
    const { log } = openLog(disk.crash(prng.pick(fates), prng));
    if (!found.holds(log))
      throw new Error(`${story}, then operation ${powerCutAt} of the next start: another log`);
  }
}

/** What a crash has left behind does no harm when the log begins even later, and the power is cut once more. */
function goOn(image: CrashDisk, found: Twin, prng: Prng, story: string): void {
  const pair = new Pair(image, found.copy());
  const from = pair.log.lastIndex + 1;
  pair.does({ save: { entries: entries(from, from + 12, 50, 900) } });
  pair.does({ compact: { upTo: from + 11, ...noTail }, times: prng.int(1, 9) });
  if (prng.chance(1, 2)) pair.does({ save: { hardState: state(60, pair.twin.hardState.commit, peer) } });
  pair.found(image.crash(prng.pick(fates), prng), `${story}, then another crash`);
}

const noTail: Omit<Keep, "upTo"> = { tailEntries: 0, tailBytes: 0 };
const config = (index: number, term: number): Entry => ({ ...entry(index, term), kind: "config" });

/** 40 entries in several segments, the second leader's among them, with a vote; 30 are committed. */
const oldLog: readonly Action[] = [
  { save: { hardState: state(1, 0, peer), entries: [config(1, 1), ...entries(2, 12, 1, 300)] } },
  { save: { entries: [...entries(12, 30, 1, 400), config(30, 1)] } },
  { save: { hardState: state(2, 27), entries: [...entries(28, 35, 2, 300), config(35, 2)] } },
  { save: { hardState: state(3, 30, peer), entries: entries(36, 41, 3, 300) } },
];

test("of compactions, one after the other", () => {
  const images = cutEverywhere(oldLog, [{ compact: { upTo: 30, ...noTail }, times: 9 }]);
  expect(images).toBeGreaterThan(20);
});

test("of compactions beside a save that appends, and one that begins a segment", () => {
  for (const list of [entries(41, 43, 3), entries(41, 60, 3, 900)]) {
    const beside = { hardState: state(3, 35, peer), entries: list };
    const images = cutEverywhere(oldLog, [{ compact: { upTo: 30, ...noTail }, times: 9, beside }]);
    expect(images).toBeGreaterThan(30);
  }
});

test("of compactions beside a save that replaces a suffix, and one that begins the log anew", () => {
  const replacement = { hardState: state(4, 31), entries: entries(36, 39, 4, 900) };
  const anew = { start: { term: 3, index: 38 }, entries: entries(39, 45, 4, 900) };
  for (const beside of [replacement, anew])
    cutEverywhere(oldLog, [{ compact: { upTo: 30, ...noTail }, times: 9, beside }]);
});

test("of a start anew behind the log, and within it", () => {
  for (const index of [100, 40, 33]) {
    const images = cutEverywhere(oldLog, [
      { save: { start: { term: 3, index }, entries: [] } },
      { save: { entries: [config(index + 1, 5)] } },
    ]);
    expect(images).toBeGreaterThan(100);
  }
});

test("of a start anew with a hard state and entries in several groups and segments", () => {
  const list = [...entries(101, 110, 7, 900), config(110, 7), ...entries(111, 116, 7, 900)];
  cutEverywhere(oldLog, [
    { save: { hardState: state(7, 112), entries: list, start: { term: 6, index: 100 } } },
    { compact: { upTo: 112, ...noTail }, times: 9 },
  ]);
});

test("of a start anew while the log is opened, and of one after the other", () => {
  cutEverywhere(oldLog, [{ restart: { term: 3, index: 50 } }, { save: { entries: entries(51, 53, 5) } }]);
  cutEverywhere(oldLog, [{ restart: { term: 3, index: 50 } }, { save: { start: { term: 6, index: 50 } } }]);
  cutEverywhere([], [{ restart: { term: 3, index: 50 } }]);
});

/** Random actions with kills and power cuts within and between them, against the twin. */
class Walk {
  readonly #prng: Prng;
  #pair = new Pair(new CrashDisk(), new Twin());
  #term = 1;
  readonly counts = { dropped: 0, anew: 0, cut: 0 };

  constructor(prng: Prng) {
    this.#prng = prng;
  }

  round(story: string): void {
    const prng = this.#prng;
    const { disk, twin } = this.#pair;
    const { firstIndex } = twin;
    if (prng.chance(1, 6)) this.#term++;
    if (prng.chance(1, 5)) disk.powerCutAt = disk.operations + prng.int(0, 14);
    const isWhole = this.#pair.does(this.#action());
    disk.powerCutAt = Number.POSITIVE_INFINITY;
    if (this.#pair.twin.firstIndex > firstIndex) this.counts.dropped++;
    if (!isWhole) this.counts.cut++;
    if (!isWhole || prng.chance(1, 8)) this.#reopen(isWhole, story);
    this.#read(story);
  }

  #action(): Action {
    const prng = this.#prng;
    const { commit } = this.#pair.twin.hardState;
    if (prng.chance(1, 12)) {
      this.counts.anew++;
      return { restart: this.#start() };
    }
    if (prng.chance(1, 3)) {
      const compact = {
        upTo: prng.int(0, commit),
        tailEntries: prng.int(0, 20),
        tailBytes: prng.pick([0, 5000, 1e9]),
      };
      const times = prng.int(1, 4);
      return prng.chance(1, 2) ? { compact, times } : { compact, times, beside: this.#step() };
    }
    return { save: this.#step() };
  }

  #start(): EntryId {
    const { hardState, lastIndex } = this.#pair.twin;
    const index = this.#prng.int(hardState.commit, lastIndex + 20);
    return { term: this.#term, index };
  }

  #step(): Step {
    const prng = this.#prng;
    const { hardState, firstIndex, lastIndex } = this.#pair.twin;
    const isAnew = prng.chance(1, 12);
    if (isAnew) this.counts.anew++;
    const start = isAnew ? this.#start() : undefined;
    const lowest = prng.chance(1, 5) ? Math.max(firstIndex, hardState.commit + 1) : lastIndex + 1;
    const from = start === undefined ? prng.int(lowest, lastIndex + 1) : start.index + 1;
    const count = prng.chance(1, 6) ? 0 : prng.int(1, prng.chance(1, 6) ? 40 : 6);
    const list: Entry[] = [];
    for (let at = 0; at < count; at++) list.push(randomEntry(prng, from + at, this.#term));
    const last = count > 0 || isAnew ? from + count - 1 : lastIndex;
    const commit = Math.max(hardState.commit, prng.int(Math.min(hardState.commit, last), last));
    const isVoting = prng.chance(1, 2) ? peer : undefined;
    const next = prng.chance(1, 4) ? undefined : state(this.#term, commit, isVoting);
    return { hardState: next, entries: list, start };
  }

  #reopen(isWhole: boolean, story: string): void {
    const prng = this.#prng;
    const pair = this.#pair;
    if (isWhole) pair.candidates = [];
    pair.log.close();
    const disk = isWhole && prng.chance(1, 2) ? pair.disk.kill() : pair.disk.crash(prng.pick(fates), prng);
    const twin = pair.found(disk.copy(), story);
    this.#pair = new Pair(disk, twin);
    if (!twin.holds(this.#pair.log)) throw new Error(`${story}: two starts find two logs`);
    expect(disk.list(folder).some((name) => name.endsWith(".tmp"))).toBe(false);
  }

  #read(story: string): void {
    const prng = this.#prng;
    const { log, twin } = this.#pair;
    const from = prng.int(log.firstIndex, log.lastIndex + 1);
    const limit = prng.int(from, log.lastIndex + 2);
    const found = log.slice(from, limit, prng.int(0, 3000)).map(print);
    const at = from - twin.firstIndex;
    const wanted = twin.entries.slice(at, at + found.length).map(print);
    if (found.join() !== wanted.join()) throw new Error(`${story}: slice(${from}, ${limit}) is wrong`);
    if (found.length === 0 && from < Math.min(limit, log.lastIndex + 1))
      throw new Error(`${story}: slice(${from}, ${limit}) is empty`);
  }
}

test("random walks of saves, compactions, starts anew, kills and power cuts agree with an array", () => {
  const counts = { dropped: 0, anew: 0, cut: 0 };
  for (let run = 0; run < 60; run++) {
    const seed = seedOfRun + run;
    const walk = new Walk(new Prng(seed));
    for (let round = 0; round < 150; round++) {
      const story = `SEED=${seed} round ${round}`;
      try {
        walk.round(story);
      } catch (error) {
        throw new Error(`${story}: ${(error as Error).message}`, { cause: error });
      }
    }
    for (const key of ["dropped", "anew", "cut"] as const) counts[key] += walk.counts[key];
  }
  expect(Math.min(counts.dropped, counts.anew, counts.cut)).toBeGreaterThan(100);
});
