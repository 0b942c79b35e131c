/** The service that bun-workers.test.ts starts in workers: it does what it is told. */
import { serveWorker } from "../../src/env/bun-workers.ts";
import type { WorkerPace } from "../../src/env/workers.ts";
import { assert } from "../../src/lib/assert.ts";

/** What it can be told. `counter` is shared memory, whose first word counts what was done. */
export type WorkerOrder =
  | { readonly kind: "echo"; readonly value: unknown }
  | { readonly kind: "count"; readonly counter: SharedArrayBuffer }
  /** Does so many slices of work of so many ms, and tells the number of each. */
  | {
      readonly kind: "work";
      readonly slices: number;
      readonly ms: number;
      readonly pace: WorkerPace;
      readonly counter: SharedArrayBuffer;
    }
  | { readonly kind: "throw"; readonly where: "receive" | "work" };

serveWorker((env, send) => {
  let task: (WorkerOrder & { kind: "work" }) | undefined;
  let slices = 0;
  let isBroken = false;
  return {
    receive(message) {
      const order = message as WorkerOrder;
      if (order.kind === "echo") send(order.value);
      else if (order.kind === "count") Atomics.add(new Int32Array(order.counter), 0, 1);
      else if (order.kind === "work") [task, slices] = [order, 0];
      else {
        isBroken = true;
        assert(order.where !== "receive", "nothing is thrown in receive");
      }
    },
    end() {
      // The second word says that the service was told of its end.
      if (task !== undefined) Atomics.store(new Int32Array(task.counter), 1, 1);
    },
    work() {
      assert(!isBroken, "nothing is thrown in work");
      if (task === undefined) return "idle";
      const untilMs = env.monotonicMs() + task.ms;
      while (env.monotonicMs() < untilMs);
      Atomics.add(new Int32Array(task.counter), 0, 1);
      send(++slices);
      if (slices === task.slices) task = undefined;
      return task?.pace ?? "idle";
    },
  };
});
