import { expect, test } from "bun:test";
import { join } from "node:path";
import { BunWorkers } from "../../src/env/bun-workers.ts";
import type { WorkerThread } from "../../src/env/workers.ts";
import type { WorkerOrder } from "./worker-program.ts";

// Goal: the real worker keeps the promises of src/env/workers.ts. Method: a service that does what it is told, in
// worker-program.ts; what it does without telling is seen in shared memory.

/** Longer than anything here takes on a machine that does much else. */
const longMs = 20_000;

class Bench {
  readonly received: unknown[] = [];
  readonly counter = new SharedArrayBuffer(8);
  readonly thread: WorkerThread;

  constructor() {
    const workers = new BunWorkers(join(import.meta.dir, "worker-program.ts"));
    this.thread = workers.start((message) => this.received.push(message));
  }

  get counted(): number {
    return Atomics.load(new Int32Array(this.counter), 0);
  }

  post(order: WorkerOrder): void {
    this.thread.post(order);
  }

  work(part: Partial<WorkerOrder & { kind: "work" }> = {}): void {
    const whole = { slices: Number.MAX_SAFE_INTEGER, ms: 2, pace: "busy", ...part } as const;
    this.post({ kind: "work", counter: this.counter, ...whole });
  }

  /** Lets the event loop run until it is so. */
  async until(condition: () => boolean): Promise<void> {
    const untilMs = performance.now() + longMs;
    while (!condition()) {
      if (performance.now() > untilMs) throw new Error("it is still not so");
      await Bun.sleep(1);
    }
  }

  /** Stops the event loop until so many messages have come. */
  waitFor(messages: number): void {
    const untilMs = performance.now() + longMs;
    while (this.received.length < messages) {
      if (performance.now() > untilMs) throw new Error(`only ${this.received.length} messages have come`);
      this.thread.wait(100);
    }
  }

  end(): boolean {
    return this.thread.end();
  }
}

test("messages go both ways in order, each once, with the event loop running", async () => {
  const bench = new Bench();
  const sent = Array.from({ length: 500 }, (_, at) => ({ at, bytes: new Uint8Array(at).fill(at) }));
  for (const value of sent) bench.post({ kind: "echo", value });
  await bench.until(() => bench.received.length >= sent.length);
  expect(bench.received).toEqual(sent);
  expect(bench.end()).toBe(true);
});

test("what is told while the event loop stands still is received by wait, in order", () => {
  const bench = new Bench();
  for (let at = 0; at < 300; at++) bench.post({ kind: "echo", value: at });
  bench.waitFor(300);
  expect(bench.received).toEqual(Array.from({ length: 300 }, (_, at) => at));
  expect(bench.end()).toBe(true);
});

test("what wait has received is not received again by the event loop, and the other way round", async () => {
  const bench = new Bench();
  let told = 0;
  for (let round = 0; round < 10; round++) {
    for (let at = 0; at < 20; at++) bench.post({ kind: "echo", value: told++ });
    if (round % 2 === 0) bench.waitFor(told);
    else await bench.until(() => bench.received.length >= told);
  }
  await Bun.sleep(20);
  expect(bench.received).toEqual(Array.from({ length: told }, (_, at) => at));
  expect(bench.end()).toBe(true);
});

test("a message is a copy, and shared memory in it is shared", async () => {
  const bench = new Bench();
  const value = { text: "before" };
  bench.post({ kind: "echo", value });
  value.text = "after";
  bench.post({ kind: "count", counter: bench.counter });
  await bench.until(() => bench.counted === 1);
  await bench.until(() => bench.received.length === 1);
  expect(bench.received).toEqual([{ text: "before" }]);
  expect(bench.end()).toBe(true);
});

test("wait returns when the worker has said something, long before its time is over", () => {
  const bench = new Bench();
  bench.post({ kind: "echo", value: "first" });
  bench.waitFor(1);
  const beganMs = performance.now();
  bench.post({ kind: "echo", value: "second" });
  bench.thread.wait(longMs);
  expect(performance.now() - beganMs).toBeLessThan(longMs / 2);
  expect(bench.received).toEqual(["first", "second"]);
  expect(bench.end()).toBe(true);
});

test("wait returns after its time when the worker says nothing", () => {
  const bench = new Bench();
  bench.post({ kind: "echo", value: "up" });
  bench.waitFor(1);
  const beganMs = performance.now();
  bench.thread.wait(30);
  expect(performance.now() - beganMs).toBeGreaterThan(25);
  expect(bench.received).toEqual(["up"]);
  expect(bench.end()).toBe(true);
});

test.each(["busy", "gentle"] as const)("work that is %s goes on by itself until it is done", async (pace) => {
  const bench = new Bench();
  bench.work({ slices: 30, ms: 1, pace });
  await bench.until(() => bench.received.length >= 30);
  expect(bench.received).toEqual(Array.from({ length: 30 }, (_, at) => at + 1));
  expect(bench.end()).toBe(true);
});

test.each(["busy", "gentle"] as const)(
  "what is told amid work that is %s is heard between slices",
  (pace) => {
    const bench = new Bench();
    bench.work({ ms: 5, pace });
    bench.waitFor(3);
    bench.post({ kind: "echo", value: "heard" });
    const before = bench.received.length;
    bench.waitFor(before + 1);
    while (!bench.received.includes("heard")) bench.waitFor(bench.received.length + 1);
    // A message that has waited for the end of the slice at hand, and one more at the most, is answered.
    expect(bench.received.indexOf("heard") - before).toBeLessThan(200);
    expect(bench.end()).toBe(true);
  },
);

test.each(["busy", "gentle"] as const)(
  "work that does not end, and is %s, is ended in its middle",
  async (pace) => {
    const bench = new Bench();
    bench.work({ pace });
    bench.waitFor(2);
    const beganMs = performance.now();
    expect(bench.end()).toBe(true);
    expect(performance.now() - beganMs).toBeLessThan(longMs / 4);
    // Its service was told, and has let go of what it holds.
    expect(new Int32Array(bench.counter)[1]).toBe(1);
    const { counted } = bench;
    const { length } = bench.received;
    await Bun.sleep(30);
    expect(bench.counted).toBe(counted);
    expect(bench.received.length).toBe(length);
  },
);

test("end returns when all that was posted was told, and nothing is received after it", async () => {
  const bench = new Bench();
  for (let at = 0; at < 100; at++) {
    bench.post({ kind: "count", counter: bench.counter });
    bench.post({ kind: "echo", value: at });
  }
  expect(bench.end()).toBe(true);
  expect(bench.counted).toBe(100);
  await Bun.sleep(20);
  expect(bench.received).toEqual([]);
});

test("a worker that was ended at once has never heard anything of others, and they go on", async () => {
  const [one, two] = [new Bench(), new Bench()];
  expect(one.end()).toBe(true);
  two.post({ kind: "echo", value: "still here" });
  await two.until(() => two.received.length === 1);
  expect(one.received).toEqual([]);
  expect(two.end()).toBe(true);
});

test("nothing may be posted to a worker that was ended", () => {
  const bench = new Bench();
  bench.end();
  expect(() => bench.post({ kind: "echo", value: 1 })).toThrow("a worker that was ended is told nothing");
});

test.each([
  ["receive", "the event loop runs"],
  ["work", "the event loop runs"],
  ["receive", "waiting"],
  ["work", "waiting"],
])("an assertion in the service's %s ends the main program, while %s", (where, how) => {
  const child = Bun.spawnSync([process.execPath, join(import.meta.dir, "broken-worker-main.ts"), where, how]);
  expect(child.stderr.toString()).toContain(`nothing is thrown in ${where}`);
  expect(child.stdout.toString()).toBe("");
  expect(child.exitCode).toBe(1);
});

test("the main program ends by itself when its workers were ended", () => {
  const program = join(import.meta.dir, "worker-program.ts");
  const source = join(import.meta.dir, "../../src/env/bun-workers.ts");
  const code = `import { BunWorkers } from ${JSON.stringify(source)};
    const thread = new BunWorkers(${JSON.stringify(program)}).start((message) => console.log(message));
    thread.post({ kind: "echo", value: "told" });
    thread.wait(${longMs});
    console.log(thread.end());`;
  const child = Bun.spawnSync([process.execPath, "-e", code], { timeout: longMs });
  expect(child.stdout.toString()).toBe("told\ntrue\n");
  expect(child.exitCode).toBe(0);
});
