/**
 * Workers as threads of this process, each a program of its own (`serveWorker`) that is started from the same file.
 * Messages go through ports; counters in shared memory let each side wait for the other without its event loop,
 * and see whether the worker gets on.
 */
import { setPriority } from "node:os";
import {
  MessageChannel,
  type MessagePort,
  receiveMessageOnPort,
  Worker,
  workerData,
} from "node:worker_threads";
import { assert } from "../lib/assert.ts";
import { KvraftError, messageOf } from "../lib/error.ts";
import { BunDisk } from "./bun-disk.ts";
import { SqliteTables } from "./sqlite-tables.ts";
import type { MakeWorkerService, WorkerPace, WorkerService, Workers, WorkerThread } from "./workers.ts";

/** What a worker is told when it starts. */
interface WorkerStart {
  readonly kind: typeof workerKind;
  readonly port: MessagePort;
  readonly counters: SharedArrayBuffer;
}

const workerKind = "kvraft worker";
/** Places in the counters: messages to the worker, messages from it, whether it has ended, and its slices of work. */
const sentPlace = 0;
const toldPlace = 1;
const endedPlace = 2;
const slicesPlace = 3;
const placeCount = 4;
/** A worker is waited for so long when it shall end: longer than a slice and a sync of a slow disk take. */
const endMsMax = 10_000;
/** How much less of a busy processor a worker gets than the event loop, as `nice` has it. */
const niceness = 5;
/** The longest rest between two slices of work that does not hurry. */
const restMsMax = 50;

/** Until it is looked again whether a message was counted, in ms. */
const countedMs = 0.1;
/** So much work, in ms, between two collections of garbage, each of which takes a few. */
const collectEveryMs = 50;

const endMessage = "end";

/** A worker's last word, when its service has thrown. */
interface Crash {
  readonly crash: string;
}

/** The real Workers. `program` is the file that calls `serveWorker` when it runs in a worker. */
export class BunWorkers implements Workers {
  readonly #program: string;

  constructor(program: string) {
    this.#program = program;
  }

  start(receive: (message: unknown) => void): WorkerThread {
    return new BunWorkerThread(this.#program, receive);
  }
}

class BunWorkerThread implements WorkerThread {
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #counters = new Int32Array(new SharedArrayBuffer(placeCount * 4));
  readonly #receive: (message: unknown) => void;
  #received = 0;
  #isEnded = false;

  constructor(program: string, receive: (message: unknown) => void) {
    this.#receive = receive;
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    const start: WorkerStart = { kind: workerKind, port: port2, counters: this.#counters.buffer };
    this.#worker = startWorker(program, start);
    this.#worker.on("error", (error) => {
      throw error;
    });
    port1.on("message", (message: unknown) => this.#hear(message));
  }

  get slices(): number {
    return Atomics.load(this.#counters, slicesPlace);
  }

  post(message: unknown): void {
    assert(!this.#isEnded, "a worker that was ended is told nothing");
    this.#port.postMessage(message);
    Atomics.add(this.#counters, sentPlace, 1);
    Atomics.notify(this.#counters, sentPlace);
  }

  wait(ms: number): void {
    const untilMs = performance.now() + ms;
    while (!this.#receiveAll()) {
      const restMs = untilMs - performance.now();
      if (restMs <= 0) return;
      // The worker counts a message a moment after it has sent it. A wait that ended at once for that looked like one in
      // which nothing had happened for seconds: a store that waited five times in vain ended its node.
      const isBeingCounted = Atomics.load(this.#counters, toldPlace) !== this.#received;
      if (isBeingCounted) Atomics.wait(this.#counters, endedPlace, 0, countedMs);
      else Atomics.wait(this.#counters, toldPlace, this.#received, restMs);
    }
  }

  /** Returns whether there was anything. */
  #receiveAll(): boolean {
    const before = this.#received;
    for (
      let next = receiveMessageOnPort(this.#port);
      next !== undefined;
      next = receiveMessageOnPort(this.#port)
    )
      this.#hear(next.message);
    return this.#received !== before;
  }

  end(msMax = endMsMax): boolean {
    this.post(endMessage);
    this.#isEnded = true;
    const outcome = Atomics.wait(this.#counters, endedPlace, 0, msMax);
    this.#port.close();
    // Whether it has ended or hangs: the process may leave it behind.
    this.#worker.unref();
    void this.#worker.terminate();
    return outcome !== "timed-out";
  }

  #hear(message: unknown): void {
    this.#received++;
    if (this.#isEnded) return;
    if (isCrash(message)) throw new Error(message.crash);
    this.#receive(message);
  }
}

function startWorker(program: string, start: WorkerStart): Worker {
  try {
    return new Worker(program, { workerData: start, transferList: [start.port] });
  } catch (error) {
    start.port.close();
    const advice = "raise the limits of threads and memory for this user (ulimit -u, ulimit -v)";
    throw new KvraftError("IO_ERROR", `Cannot start a thread for the store: ${messageOf(error)}; ${advice}`);
  }
}

/** Runs the program's service in this thread, which must be a worker that BunWorkers has started. */
export function serveWorker(make: MakeWorkerService): void {
  const { port, counters } = workerStart();
  beNice();
  new Server(port, new Int32Array(counters), make);
}

/** A busy machine serves clients first. On Linux a priority is a thread's; elsewhere it would be the whole process's. */
function beNice(): void {
  if (process.platform !== "linux") return;
  // Where it is not allowed, it works the same.
  try {
    setPriority(niceness);
  } catch {}
}

/** Whether this thread is a worker that BunWorkers has started. */
export function isWorker(): boolean {
  return (workerData as Partial<WorkerStart> | null | undefined)?.kind === workerKind;
}

function workerStart(): WorkerStart {
  assert(isWorker(), "a worker is started by BunWorkers");
  return workerData as WorkerStart;
}

class Server {
  readonly #port: MessagePort;
  readonly #counters: Int32Array<SharedArrayBuffer>;
  readonly #service: WorkerService;
  #isEnded = false;
  #uncollectedMs = 0;

  constructor(port: MessagePort, counters: Int32Array<SharedArrayBuffer>, make: MakeWorkerService) {
    this.#port = port;
    this.#counters = counters;
    const env = { disk: new BunDisk(), tables: new SqliteTables(), monotonicMs: () => performance.now() };
    this.#service = make(env, (message) => this.#send(message));
    port.on("message", (message: unknown) => this.#run(message));
  }

  #run(message: unknown): void {
    try {
      this.#receive(message);
      while (!this.#isEnded && this.#slice() !== "idle");
    } catch (error) {
      const crash = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#send({ crash } satisfies Crash);
      this.#end();
    }
  }

  /** A slice of work, what was said meanwhile, and a rest as long as the slice when it does not hurry. */
  #slice(): WorkerPace {
    const beganMs = performance.now();
    const sent = Atomics.load(this.#counters, sentPlace);
    const pace = this.#service.work();
    Atomics.add(this.#counters, slicesPlace, 1);
    const workedMs = performance.now() - beganMs;
    this.#collect(workedMs);
    if (pace === "gentle") Atomics.wait(this.#counters, sentPlace, sent, Math.min(workedMs, restMsMax));
    let isTold = false;
    for (
      let next = receiveMessageOnPort(this.#port);
      next !== undefined;
      next = receiveMessageOnPort(this.#port)
    ) {
      isTold = true;
      this.#receive(next.message);
    }
    return isTold ? "busy" : pace;
  }

  /** What is read and written is garbage outside of the heap: the collector, left alone, lets it grow by hundreds of MB. */
  #collect(workedMs: number): void {
    this.#uncollectedMs += workedMs;
    if (this.#uncollectedMs < collectEveryMs) return;
    this.#uncollectedMs = 0;
    Bun.gc(true);
  }

  #receive(message: unknown): void {
    if (this.#isEnded) return;
    if (message === endMessage) {
      this.#service.end();
      this.#end();
    } else this.#service.receive(message);
  }

  #send(message: unknown): void {
    this.#port.postMessage(message);
    Atomics.add(this.#counters, toldPlace, 1);
    Atomics.notify(this.#counters, toldPlace);
  }

  #end(): void {
    this.#isEnded = true;
    Atomics.store(this.#counters, endedPlace, 1);
    Atomics.notify(this.#counters, endedPlace);
    this.#port.close();
  }
}

function isCrash(message: unknown): message is Crash {
  return typeof message === "object" && message !== null && "crash" in message;
}
