import { expect, test } from "bun:test";
import { LogTime } from "../../src/server/log-time.ts";
import { ManualClock } from "../rpc/memory-net.ts";

class WildClock extends ManualClock {
  skewMs = 0;

  override wallMs(): number {
    return super.wallMs() + this.skewMs;
  }
}

test("the time is the clock's, and the log's when that is ahead", () => {
  const clock = new WildClock();
  const time = new LogTime(clock);
  expect(time.nowMs(0)).toBe(clock.wallMs());
  clock.run(10);
  expect(time.nowMs(0)).toBe(clock.wallMs());
  expect(time.nowMs(clock.wallMs() + 500)).toBe(clock.wallMs() + 500);
});

test("the time goes on while the log is ahead of the clock, and does not stand still until the clock is there", () => {
  const clock = new WildClock();
  const time = new LogTime(clock);
  const aheadMs = 3_600_000;
  const start = time.nowMs(clock.wallMs() + aheadMs);
  clock.run(70_000);
  expect(time.nowMs(start)).toBe(start + 70_000);
});

test("the time never goes back, and follows a clock that jumps ahead", () => {
  const clock = new WildClock();
  const time = new LogTime(clock);
  const start = time.nowMs(0);
  clock.skewMs = -1_000_000;
  clock.run(5);
  expect(time.nowMs(0)).toBe(start + 5);
  clock.skewMs = 1_000_000;
  expect(time.nowMs(0)).toBe(start + 1_000_005);
});
