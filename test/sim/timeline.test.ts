import { expect, test } from "bun:test";
import { SimProcess } from "./sim-process.ts";
import { Timeline } from "./timeline.ts";

function runAll(timeline: Timeline): void {
  while (timeline.runNext());
}

test("events run in the order of their time, then of their making", () => {
  const timeline = new Timeline();
  const ran: string[] = [];
  timeline.after(5, undefined, () => ran.push("late"));
  timeline.after(1, undefined, () => {
    ran.push("first");
    timeline.after(0, undefined, () => ran.push("third"));
  });
  timeline.after(1, undefined, () => ran.push("second"));
  timeline.after(2, undefined, () => ran.push("cancelled")).cancel();
  runAll(timeline);
  expect(ran).toEqual(["first", "second", "third", "late"]);
  expect(timeline.nowMs).toBe(5);
});

test("a thousand events at random come out sorted", () => {
  const timeline = new Timeline();
  const ran: number[] = [];
  for (let at = 0; at < 1000; at++) {
    const ms = (at * 7919) % 101;
    timeline.after(ms, undefined, () => ran.push(ms));
  }
  runAll(timeline);
  expect(ran).toEqual(ran.toSorted((a, b) => a - b));
  expect(ran.length).toBe(1000);
});

test("what promises lead to happens within the event", () => {
  const timeline = new Timeline();
  const ran: string[] = [];
  timeline.after(1, undefined, () => {
    void Promise.resolve()
      .then(() => undefined)
      .then(() => ran.push("promise"));
  });
  timeline.after(1, undefined, () => ran.push("event"));
  runAll(timeline);
  expect(ran).toEqual(["promise", "event"]);
});

test("a dead process does nothing, and a busy or paused one everything later and in order", () => {
  const timeline = new Timeline();
  const process = new SimProcess(timeline, { name: "p" });
  const ran: string[] = [];
  timeline.at(1, process, () => ran.push(`a ${timeline.nowMs}`));
  timeline.at(2, process, () => ran.push(`b ${timeline.nowMs}`));
  timeline.at(1.5, undefined, () => ran.push("another process"));
  timeline.at(0, undefined, () => process.spend(10));
  timeline.at(10, process, () => ran.push(`c ${timeline.nowMs}`));
  runAll(timeline);
  expect(ran).toEqual(["another process", "a 10", "b 10", "c 10"]);
  timeline.after(1, process, () => ran.push("dead"));
  process.die();
  runAll(timeline);
  expect(ran).not.toContain("dead");
});

test("a process's clock runs at its rate, ahead by the work it did, and never back", () => {
  const timeline = new Timeline();
  const process = new SimProcess(timeline, { name: "p", clockRate: 2, skewMs: -500, lookMs: 0.5 });
  const looks: number[] = [];
  timeline.at(10, process, () => looks.push(process.monotonicMs(), process.monotonicMs()));
  runAll(timeline);
  expect(looks).toEqual([21, 22]);
  expect(process.nowMs).toBe(11);
  expect(process.wallMs()).toBe(1_700_000_000_000 + 11 - 500);
  let ranAtMs = 0;
  process.after(4, () => {
    ranAtMs = timeline.nowMs;
  });
  runAll(timeline);
  expect(ranAtMs).toBe(13);
});
