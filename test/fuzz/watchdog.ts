/** A worker that ends the process when one case hangs: a loop without end never comes back to tell its seed. */
import { writeSync } from "node:fs";
import { parentPort, Worker, workerData } from "node:worker_threads";

const hungMs = 20_000;
const lookEveryMs = 1000;

/** What the worker is shown: the seed of the case that runs, and a number that changes with every case. */
export interface Watchdog {
  begins(seed: number): void;
  stop(): Promise<void>;
}

/** Watches the cases of a target from a thread of its own. */
export function watch(target: string): Watchdog {
  const shared = new Float64Array(new SharedArrayBuffer(16));
  const worker = new Worker(import.meta.path, { workerData: { target, shared } });
  return {
    begins(seed) {
      shared[0] = seed;
      shared[1]! += 1;
    },
    async stop() {
      await worker.terminate();
    },
  };
}

function guard({ target, shared }: { target: string; shared: Float64Array }): void {
  let seen = -1;
  let seenAt = performance.now();
  setInterval(() => {
    const now = performance.now();
    if (shared[1] !== seen) {
      seen = shared[1] ?? 0;
      seenAt = now;
    }
    if (now - seenAt < hungMs) return;
    // At once: what a worker writes to its own stderr has to pass the thread that hangs.
    writeSync(
      2,
      `SEED=${shared[0]} hangs the target ${target}: a case has run for ${hungMs} ms\n` +
        `  replay: SEED=${shared[0]} bun test/fuzz/main.ts ${target} --cases 1\n`,
    );
    process.kill(process.pid, "SIGKILL");
  }, lookEveryMs);
}

if (parentPort !== null) guard(workerData);
