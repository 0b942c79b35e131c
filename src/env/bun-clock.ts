import type { Clock, Timer } from "./clock.ts";

/** The real time. Timers keep the process alive: whoever starts one cancels it when it closes. */
export class BunClock implements Clock {
  monotonicMs(): number {
    return performance.now();
  }

  wallMs(): number {
    return Math.floor(Date.now());
  }

  after(ms: number, run: () => void): Timer {
    const handle = setTimeout(run, ms);
    return { cancel: () => clearTimeout(handle) };
  }

  soon(run: () => void): void {
    setImmediate(run);
  }
}
