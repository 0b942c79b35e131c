/** Processor time, which says what something costs also on a machine that has other things to do. */
import { readFileSync } from "node:fs";

export interface ProcessorTime {
  /** Of all threads. */
  readonly allMs: number;
  /** Of the main thread, and how long it could have run but had no processor; 0 where /proc does not tell. */
  readonly mainMs: number;
  readonly mainWaitedMs: number;
}

export function processorTime(): ProcessorTime {
  const { user, system } = process.cpuUsage();
  const [mainNs, waitedNs] = schedule();
  return { allMs: (user + system) / 1000, mainMs: mainNs / 1e6, mainWaitedMs: waitedNs / 1e6 };
}

export function processorTimeSince(before: ProcessorTime): ProcessorTime {
  const now = processorTime();
  return {
    allMs: now.allMs - before.allMs,
    mainMs: now.mainMs - before.mainMs,
    mainWaitedMs: now.mainWaitedMs - before.mainWaitedMs,
  };
}

function schedule(): [number, number] {
  try {
    const [runNs, waitedNs] = readFileSync(`/proc/self/task/${process.pid}/schedstat`, "utf8").split(" ");
    return [Number(runNs), Number(waitedNs)];
  } catch {
    return [0, 0];
  }
}
