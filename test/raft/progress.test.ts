import { expect, test } from "bun:test";
import { Prng } from "../../src/env/prng.ts";
import { Progress } from "../../src/raft/progress.ts";

const { SEED = "1" } = process.env;
const seed = Number(SEED);

test("the window holds exactly what was sent after the last acknowledgement, and match never falls", () => {
  for (let run = 0; run < 300; run++) {
    const prng = new Prng(seed * 1000 + run);
    const progress = new Progress(prng.int(1, 10));
    let sent: { last: number; bytes: number }[] = [];
    let match = 0;
    let state = progress.state;
    for (let step = 0; step < 60; step++) {
      const action = prng.int(1, 10);
      if (action <= 5 && state === "replicate") {
        const message = { last: progress.next + prng.int(0, 3), bytes: prng.int(0, 9) };
        progress.sent(message.last, message.bytes);
        sent.push(message);
      } else if (action <= 8) {
        const index = prng.int(Math.max(0, match - 2), progress.next - 1);
        expect(progress.accepted(index)).toBe(index > match);
        match = Math.max(match, index);
        sent = state === "probe" ? [] : sent.filter(({ last }) => last > index);
        state = "replicate";
      } else if (action === 9) {
        const index = prng.int(0, progress.next);
        const agreement = prng.int(0, progress.next);
        const { next } = progress;
        const isNews = index > match && (state === "replicate" || index === next - 1);
        expect(progress.refused(index, agreement)).toBe(isNews);
        if (isNews) {
          expect(progress.next).toBe(Math.max(match + 1, Math.min(index, agreement + 1)));
          state = "probe";
          sent = [];
        }
      } else if (prng.chance(1, 2)) {
        const { next } = progress;
        progress.becomeUnreachable();
        expect(progress.next).toBe(state === "probe" ? next : match + 1);
        state = "probe";
        sent = [];
      }
      const text = `SEED=${seed} run ${run} step ${step}`;
      expect(progress, text).toMatchObject({ state, match, inFlightCount: sent.length });
      expect(progress.inFlightBytes, text).toBe(sent.reduce((sum, { bytes }) => sum + bytes, 0));
      expect(progress.next, text).toBeGreaterThan(match);
    }
  }
});

test("a probe is repeated each probeTicks, also while reports of an unreachable follower keep coming", () => {
  const progress = new Progress(5);
  progress.isPaused = true;
  let retries = 0;
  for (let tick = 0; tick < 30; tick++) {
    progress.becomeUnreachable();
    progress.tick(3, 10);
    if (!progress.isPaused) retries++;
  }
  expect(retries).toBe(10);
  expect(progress).toMatchObject({ next: 5, isRetry: true });
});

test("the probe of a follower that cannot be reached is a repetition at once: its entries may be on their way", () => {
  for (const isAhead of [false, true]) {
    const progress = new Progress(5);
    if (isAhead) {
      progress.accepted(4);
      progress.sent(6, 10);
    }
    expect(progress.isRetry).toBe(false);
    progress.becomeUnreachable();
    expect(progress).toMatchObject({ state: "probe", next: 5, isPaused: true, isRetry: true });
  }
});

test("entries that make no way for stuckTicks count as lost; any way made starts the wait anew", () => {
  const progress = new Progress(1);
  progress.accepted(0);
  progress.sent(1, 1);
  progress.sent(2, 1);
  for (let tick = 0; tick < 9; tick++) progress.tick(3, 10);
  progress.accepted(1);
  for (let tick = 0; tick < 9; tick++) progress.tick(3, 10);
  expect(progress.state).toBe("replicate");
  progress.tick(3, 10);
  expect(progress).toMatchObject({
    state: "probe",
    next: 2,
    isPaused: false,
    isRetry: true,
    inFlightCount: 0,
  });
});

test("a follower that has all is not asked again", () => {
  const progress = new Progress(1);
  progress.accepted(0);
  for (let tick = 0; tick < 100; tick++) progress.tick(3, 10);
  expect(progress.state).toBe("replicate");
});

test("a follower that needs a snapshot is offered one each probeTicks, until it accepts; late refusals change nothing", () => {
  const progress = new Progress(5);
  progress.accepted(3);
  progress.sent(4, 1);
  progress.becomeSnapshot(9);
  expect(progress).toMatchObject({ state: "snapshot", match: 3, next: 9, isPaused: false, inFlightCount: 0 });
  let offers = 0;
  for (let tick = 0; tick < 30; tick++) {
    if (!progress.isPaused) offers++;
    progress.isPaused = true;
    progress.becomeSnapshot(9 + tick);
    expect(progress.refused(tick, 0)).toBe(false);
    progress.becomeUnreachable();
    progress.tick(3, 10);
  }
  expect(offers).toBe(10);
  expect(progress).toMatchObject({ state: "snapshot", match: 3, next: 38 });
  expect(progress.accepted(20)).toBe(true);
  expect(progress).toMatchObject({ state: "replicate", match: 20, next: 21 });
});
