import { expect, test } from "bun:test";
import { Prng } from "../../src/env/prng.ts";
import { RaftLog } from "../../src/raft/raft-log.ts";
import type { Entry, Index } from "../../src/raft/types.ts";
import { logOf } from "./cluster.ts";
import { MemoryLog } from "./memory-log.ts";
import { entry } from "./messages.ts";

const { SEED = "1" } = process.env;
const seed = Number(SEED);

/** Ascending terms of a random log. */
function randomTerms(prng: Prng, count: number, from = 1): number[] {
  let term = from;
  return Array.from({ length: count }, () => (term += prng.chance(1, 3) ? prng.int(0, 2) : 0));
}

test("lastAgreement is the last index whose term is not above the one asked for", () => {
  const prng = new Prng(seed);
  for (let round = 0; round < 2000; round++) {
    const terms = randomTerms(prng, prng.int(0, 12));
    const disk = new MemoryLog(logOf(...terms));
    const dropped = prng.int(0, terms.length);
    if (prng.chance(1, 2)) disk.dropUpTo(dropped);
    const log = new RaftLog(disk, 0, 0);
    const asked = { index: prng.int(0, 15), term: prng.int(0, 10) };
    let wanted = Math.min(asked.index, terms.length);
    while (wanted >= disk.firstIndex && terms[wanted - 1]! > asked.term) wanted--;
    const found = log.lastAgreement(asked);
    const text = `SEED=${seed} round ${round} log ${terms} first ${disk.firstIndex} asked ${JSON.stringify(asked)}`;
    expect(found.index, text).toBe(wanted);
    if (wanted >= disk.firstIndex) expect(found.term, text).toBe(terms[wanted - 1]!);
  }
});

test("two logs find where they agree in no more tries than they have terms that differ", () => {
  const prng = new Prng(seed);
  for (let round = 0; round < 2000; round++) {
    const shared = randomTerms(prng, prng.int(0, 5));
    const next = (shared.at(-1) ?? 0) + 1;
    const logs = [0, 1].map((side) => {
      const tail = randomTerms(prng, prng.int(0, 15), next).map((term) => 2 * term + side);
      return [...shared, ...tail];
    }) as [number[], number[]];
    const [leader, follower] = logs.map((terms) => new RaftLog(new MemoryLog(logOf(...terms)), 0, 0)) as [
      RaftLog,
      RaftLog,
    ];
    let index: Index = leader.lastIndex;
    let tries = 0;
    while (!follower.has({ index, term: leader.termAt(index) })) {
      const hint = follower.lastAgreement({ index, term: leader.termAt(index) });
      index = Math.min(index - 1, leader.lastAgreement(hint).index);
      tries++;
    }
    const differing = new Set([...logs[0], ...logs[1]].filter((term) => !shared.includes(term))).size;
    const text = `SEED=${seed} round ${round} ${logs[0]} and ${logs[1]}`;
    expect(index, text).toBeGreaterThanOrEqual(Math.min(shared.length, index));
    expect(index, text).toBeLessThanOrEqual(shared.length);
    expect(index === shared.length || tries <= differing, text).toBe(true);
    expect(tries, text).toBeLessThanOrEqual(differing + 1);
  }
});

/**
 * The twin: memory is an array; the disk is another, onto which a write falls when it is done. What is durable is, by
 * definition, what memory and disk have in common from the start, as long as no write in flight will cut it.
 */
class DumbLog {
  memory: Entry[] = [];
  readonly disk = new MemoryLog();
  commit = 0;

  merge(entries: readonly Entry[]): void {
    for (const next of entries) {
      if (this.memory[next.index - 1]?.term === next.term) continue;
      this.memory.length = next.index - 1;
      this.memory.push(next);
    }
  }

  common(): Index {
    let index = 0;
    while (index < this.memory.length && this.disk.term(index + 1) === this.memory[index]!.term) index++;
    return index;
  }
}

test("merge, takeUnwritten and wrote follow a dumb log through replacements while writes are in flight", () => {
  for (let run = 0; run < 300; run++) {
    const prng = new Prng(seed * 1000 + run);
    const dumb = new DumbLog();
    const log = new RaftLog(dumb.disk, 0, 0);
    // What leaders of growing terms hold: each has a prefix of an earlier one's log, and entries of its own.
    const leaders: Entry[][] = [[]];
    let write: Entry[] | undefined;
    let applied = 0;
    for (let step = 0; step < 120; step++) {
      const text = `SEED=${seed} run ${run} step ${step}`;
      const action = prng.int(1, 10);
      if (action <= 4) {
        const source = prng.chance(1, 2) ? leaders.at(-1)! : prng.pick(leaders);
        const kept = prng.int(dumb.commit, Math.max(dumb.commit, source.length));
        const grown = (kept <= source.length ? source : dumb.memory).slice(0, kept);
        for (let at = 0; at < dumb.commit; at++) grown[at] = dumb.memory[at]!;
        const term = leaders.length;
        for (let more = prng.int(0, 4); more > 0; more--) grown.push(entry(grown.length + 1, term));
        leaders.push(grown);
        const from = prng.int(0, Math.min(grown.length, dumb.memory.length));
        const isAgreed = from === 0 || dumb.memory[from - 1]!.term === grown[from - 1]!.term;
        const message = grown.slice(isAgreed ? from : 0, prng.int(from, grown.length));
        dumb.merge(message);
        log.merge(message);
      } else if (action <= 6 && write === undefined && log.hasUnwritten) write = log.takeUnwritten();
      else if (action <= 8 && write !== undefined) {
        dumb.disk.append(write);
        log.wrote(write);
        write = undefined;
      } else if (log.durable > dumb.commit) {
        dumb.commit = prng.int(dumb.commit, log.durable);
        log.commitTo(dumb.commit);
        for (const { index, term } of log.takeCommitted(prng.int(0, 6))) {
          expect(index, text).toBe(++applied);
          expect(term, text).toBe(dumb.memory[index - 1]!.term);
        }
      }
      expect(log.lastIndex, text).toBe(dumb.memory.length);
      for (const { index, term } of dumb.memory)
        expect(log.term(index), `${text} term at ${index}`).toBe(term);
      expect(log.durable, `${text}: durable is on the disk`).toBeLessThanOrEqual(dumb.common());
      if (!log.hasUnwritten && write === undefined) {
        expect(log.durable, `${text}: all writes are done`).toBe(dumb.memory.length);
        expect(dumb.disk.lastIndex, text).toBe(dumb.memory.length);
      }
    }
  }
});

test("slice takes what fits, at least one entry, from the disk and from memory", () => {
  const disk = new MemoryLog(logOf(1, 1, 1, 1));
  const log = new RaftLog(disk, 0, 0);
  for (let index = 5; index <= 8; index++) log.push(entry(index, 2));
  const indexes = (from: number, limit: number, bytes: number) =>
    log.slice(from, limit, bytes).map(({ index }) => index);
  expect(indexes(1, 9, 4)).toEqual([1, 2]);
  expect(indexes(1, 9, 0)).toEqual([1]);
  expect(indexes(3, 9, 99)).toEqual([3, 4]);
  expect(indexes(5, 9, 99)).toEqual([5, 6, 7, 8]);
  expect(indexes(5, 9, 5)).toEqual([5, 6]);
  expect(indexes(6, 7, 99)).toEqual([6]);
  expect(indexes(9, 9, 99)).toEqual([]);
});

/** A log of terms 1, 1, 2, 2 on the disk, and 5/2, 6/2 in memory: 5/2 is in a write. */
function halfWritten(): { readonly disk: MemoryLog; readonly log: RaftLog; readonly write: Entry[] } {
  const disk = new MemoryLog(logOf(1, 1, 2, 2));
  const log = new RaftLog(disk, 1, 1);
  log.push(entry(5, 2));
  const write = log.takeUnwritten();
  log.push(entry(6, 2));
  return { disk, log, write };
}

test("a snapshot of an entry that the log has is where it goes on; what waits for the disk still does", () => {
  for (const index of [2, 4, 5, 6]) {
    const { disk, log, write } = halfWritten();
    expect(log.restore({ index, term: log.termAt(index) })).toBe(true);
    expect(log).toMatchObject({ firstIndex: 1, lastIndex: 6, applied: index, commit: index });
    expect(log.durable).toBe(Math.max(4, index));
    expect(log.takeStart()).toBeUndefined();
    disk.append(write);
    log.wrote(write);
    expect(log.durable).toBe(Math.max(5, index));
    const rest = log.takeUnwritten();
    expect(rest.map((each) => each.index)).toEqual([6]);
    disk.append(rest);
    log.wrote(rest);
    expect(log).toMatchObject({ durable: 6, hasUnwritten: false });
    expect(log.takeCommitted(99)).toEqual([]);
  }
});

test("a snapshot that the log contradicts, or does not reach, takes its place: on the disk with the next write", () => {
  for (const snapshot of [
    { index: 2, term: 2 },
    { index: 5, term: 3 },
    { index: 9, term: 2 },
  ]) {
    const { disk, log, write } = halfWritten();
    expect(log.restore(snapshot)).toBe(false);
    const { index, term } = snapshot;
    const anew = { firstIndex: index + 1, lastIndex: index, applied: index, commit: index, durable: index };
    expect(log).toMatchObject({ ...anew, hasUnwritten: true, last: snapshot });
    for (let at = 1; at <= 10; at++) expect(log.term(at)).toBe(at === index ? term : undefined);
    // The write that was in flight lands, and says nothing of the new log.
    disk.append(write);
    log.wrote(write);
    expect(log).toMatchObject({ ...anew, hasUnwritten: true });
    const next = { ...entry(index + 1, 4) };
    log.push(next);
    expect(log.takeStart()).toEqual(snapshot);
    const entries = log.takeUnwritten();
    expect(log.hasUnwritten).toBe(false);
    expect(log.durable).toBe(index);
    disk.startAfter(snapshot);
    disk.append(entries);
    log.wrote(entries);
    expect(log).toMatchObject({ firstIndex: index + 1, lastIndex: index + 1, durable: index + 1 });
    expect(log.term(index)).toBe(term);
    expect(log.takeStart()).toBeUndefined();
  }
});
