import type { Workers, WorkerThread } from "../../src/env/workers.ts";
import { Upkeep } from "../../src/leveldb/upkeep.ts";
import type { UpkeepOrder, UpkeepReport } from "../../src/leveldb/upkeep-messages.ts";
import { MemoryTables } from "../leveldb/memory-tables.ts";
import type { SimDisk } from "./sim-disk.ts";
import type { SimProcess } from "./sim-process.ts";
import type { Timeline } from "./timeline.ts";

/** What the stores' workers of a machine have done, in all its processes. */
export interface StoreWork {
  flushes: number;
  /** Steps of merges, and those among them that have left something to do. */
  mergeSteps: number;
  unfinishedSteps: number;
  /** Workers that have begun amid a merge, which a crash or a stop has cut short. */
  resumedMerges: number;
}

export function noStoreWork(): StoreWork {
  return { flushes: 0, mergeSteps: 0, unfinishedSteps: 0, resumedMerges: 0 };
}

export function addStoreWork(sum: StoreWork, work: StoreWork): void {
  sum.flushes += work.flushes;
  sum.mergeSteps += work.mergeSteps;
  sum.unfinishedSteps += work.unfinishedSteps;
  sum.resumedMerges += work.resumedMerges;
}

/** Workers in virtual time: threads of a process, which work beside it, wait for its disk by themselves, and die with it. */
export class SimWorkers implements Workers {
  readonly #timeline: Timeline;
  readonly #process: SimProcess;
  readonly #disk: SimDisk;
  readonly #done: StoreWork;

  /** `done` is counted up. */
  constructor(timeline: Timeline, process: SimProcess, disk: SimDisk, done: StoreWork) {
    this.#done = done;
    this.#timeline = timeline;
    this.#process = process;
    this.#disk = disk;
  }

  start(receive: (message: unknown) => void): WorkerThread {
    return new SimThread(this.#timeline, this.#process, this.#disk, this.#done, receive);
  }
}

/** As in src/env/bun-workers.ts. */
const restMsMax = 50;

class SimThread implements WorkerThread {
  readonly #timeline: Timeline;
  readonly #owner: SimProcess;
  readonly #thread: SimProcess;
  readonly #service: Upkeep;
  readonly #done: StoreWork;
  readonly #receive: (message: unknown) => void;
  /** What was posted and not told yet, and what was sent and not received, oldest first. */
  readonly #inbox: unknown[] = [];
  readonly #outbox: unknown[] = [];
  /** Those whose end the timeline has reached. */
  slices = 0;
  #isWorking = false;
  #isEnded = false;

  constructor(
    timeline: Timeline,
    owner: SimProcess,
    disk: SimDisk,
    done: StoreWork,
    receive: (message: unknown) => void,
  ) {
    this.#done = done;
    this.#timeline = timeline;
    this.#owner = owner;
    this.#receive = receive;
    this.#thread = owner.thread("worker");
    const own = disk.of(this.#thread);
    const env = {
      disk: own,
      tables: new MemoryTables(own),
      monotonicMs: () => this.#thread.monotonicMs(),
    };
    this.#service = new Upkeep(env, (report) => this.#send(report));
  }

  post(message: unknown): void {
    const order = message as UpkeepOrder;
    if (order.kind === "begin" && order.manifest.merges.length > 0) this.#done.resumedMerges++;
    this.#inbox.push(message);
    this.#timeline.at(this.#owner.nowMs, this.#thread, () => this.#work());
  }

  /** The owner stands still while the worker works. */
  wait(): void {
    this.#thread.waitFor(this.#owner);
    while (this.#outbox.length === 0 && this.#slice() !== "idle");
    this.#owner.waitFor(this.#thread);
    this.#deliver();
  }

  end(): boolean {
    for (const message of this.#inbox.splice(0)) this.#service.receive(message);
    this.#service.end();
    this.#isEnded = true;
    this.#thread.die();
    return true;
  }

  #work(): void {
    if (this.#isWorking) return this.#listen();
    this.#isWorking = true;
    this.#goOn();
  }

  #goOn(): void {
    const beganMs = this.#thread.nowMs;
    const pace = this.#slice();
    if (pace === "idle") {
      this.#isWorking = false;
      return;
    }
    const restMs = pace === "gentle" ? Math.min(this.#thread.nowMs - beganMs, restMsMax) : 0;
    this.#timeline.at(this.#thread.nowMs + restMs, this.#thread, () => {
      this.slices++;
      this.#goOn();
    });
  }

  #slice(): "idle" | "busy" | "gentle" {
    const isTold = this.#inbox.length > 0;
    this.#listen();
    const pace = this.#service.work();
    return isTold && pace === "idle" ? "busy" : pace;
  }

  #listen(): void {
    for (const message of this.#inbox.splice(0)) this.#service.receive(message);
  }

  #send(report: UpkeepReport): void {
    if (report.kind === "installed") this.#count(report.isFlush, report.manifest.merges.length);
    this.#outbox.push(report);
    this.#timeline.at(this.#thread.nowMs, this.#owner, () => this.#deliver());
  }

  #count(isFlush: boolean, merges: number): void {
    if (isFlush) this.#done.flushes++;
    else this.#done.mergeSteps++;
    if (!isFlush && merges > 0) this.#done.unfinishedSteps++;
  }

  #deliver(): void {
    for (const message of this.#outbox.splice(0)) if (!this.#isEnded) this.#receive(message);
  }
}

export function sumOfStoreWork(works: readonly StoreWork[]): StoreWork {
  const sum = noStoreWork();
  for (const work of works) addStoreWork(sum, work);
  return sum;
}
