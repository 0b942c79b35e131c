import { expect } from "bun:test";
import { type KVClient, KVError } from "../../src/client/kv-client.ts";

/** What became of the writes to one key, which one writer alone writes. */
interface KeyHistory {
  readonly acknowledged: string[];
  readonly unknown: string[];
  /** Certainly not done: none of these may ever be seen. */
  readonly notDone: string[];
}

/**
 * Writers that put one unique value after the other, each through a client of its own, and remember what was
 * acknowledged. `check` then finds a write that was lost, applied twice, or done although it was said not to be: the
 * number of a key's versions is the number of its puts, and its value is that of the last.
 */
export class Workload {
  readonly #histories = new Map<string, KeyHistory>();
  readonly #writers: Writer[];
  readonly #readers: Promise<void>[] = [];
  readonly #stale: string[] = [];
  #isStopping = false;
  #readCount = 0;

  /** Starts at once, a writer for each client. `keysPerWriter` keys are written in turn. */
  constructor(clients: readonly KVClient[], keysPerWriter = 5, name = "w") {
    this.#writers = clients.map(
      (client, place) => new Writer(client, `${name}${place}`, keysPerWriter, this.#histories),
    );
  }

  get acknowledgedCount(): number {
    return sum([...this.#histories.values()].map(({ acknowledged }) => acknowledged.length));
  }

  get unknownCount(): number {
    return sum([...this.#histories.values()].map(({ unknown }) => unknown.length));
  }

  /** Writes that were given up, and certainly not done. */
  get notDoneCount(): number {
    return sum([...this.#histories.values()].map(({ notDone }) => notDone.length));
  }

  /** Watches from now on; the function that is returned yields the time of the slowest write until then, in ms. */
  watch(): () => number {
    for (const writer of this.#writers) writer.slowestMs = 0;
    return () => Math.max(...this.#writers.map((writer) => writer.slowestSoFarMs));
  }

  /**
   * For each writer the time from now until a write is acknowledged that began after now: how long somebody who works
   * is held up by what happens now.
   */
  gaps(): Promise<number[]> {
    return Promise.all(this.#writers.map((writer) => writer.gap()));
  }

  get readCount(): number {
    return this.#readCount;
  }

  /**
   * Reads key after key until the end, and remembers every answer that is older than what was acknowledged when the
   * read began. Keys with writes of unknown outcome are left out: those may come to pass at any time.
   */
  read(client: KVClient): void {
    this.#readers.push(this.#readOn(client));
  }

  /** Ends when what is under way is decided. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await Promise.all([...this.#writers.map((writer) => writer.stop()), ...this.#readers]);
  }

  async #readOn(client: KVClient): Promise<void> {
    while (!this.#isStopping) {
      for (const [key, { acknowledged, unknown }] of [...this.#histories]) {
        if (this.#isStopping) return;
        const least = numberOf(acknowledged.at(-1));
        try {
          const found = await client.get(key);
          this.#readCount++;
          if (unknown.length === 0 && numberOf(found) < least)
            this.#stale.push(`${key}: ${found} after ${least}`);
        } catch (error) {
          if (!(error instanceof KVError) || error.outcome !== "not-done") throw error;
          if (error.code === "Closed") return;
        }
      }
      await Bun.sleep(1);
    }
  }

  async check(client: KVClient): Promise<void> {
    expect(this.acknowledgedCount).toBeGreaterThan(0);
    const wrong = this.#stale.map((tale) => `stale read: ${tale}`);
    for (const [key, { acknowledged, unknown, notDone }] of this.#histories) {
      const record = await client.getRecord(key);
      const count = record?.count ?? 0;
      const value = record === undefined ? undefined : Buffer.from(record.value).toString();
      const tale =
        `${key}: ${acknowledged.length} acknowledged, the last ${acknowledged.at(-1)}; ` +
        `${unknown.length} unknown (${unknown.slice(-5)}); found ${count} versions, the last ${value}`;
      if (count < acknowledged.length) wrong.push(`lost: ${tale}`);
      if (count > acknowledged.length + unknown.length) wrong.push(`twice: ${tale}`);
      if (value !== acknowledged.at(-1) && !unknown.includes(value ?? "")) wrong.push(`value: ${tale}`);
      if (value !== undefined && notDone.includes(value)) wrong.push(`not done, and yet there: ${tale}`);
    }
    expect(wrong).toEqual([]);
  }
}

class Writer {
  readonly #client: KVClient;
  readonly #name: string;
  readonly #keysPerWriter: number;
  readonly #histories: Map<string, KeyHistory>;
  readonly #done: Promise<void>;
  slowestMs = 0;
  #startMs = performance.now();
  #isStopping = false;
  #waiting: { fromMs: number; resolve: (ms: number) => void }[] = [];

  constructor(client: KVClient, name: string, keysPerWriter: number, histories: Map<string, KeyHistory>) {
    this.#client = client;
    this.#name = name;
    this.#keysPerWriter = keysPerWriter;
    this.#histories = histories;
    this.#done = this.#run();
  }

  gap(): Promise<number> {
    return new Promise((resolve) => this.#waiting.push({ fromMs: performance.now(), resolve }));
  }

  /** With the write that is under way. */
  get slowestSoFarMs(): number {
    return Math.max(this.slowestMs, performance.now() - this.#startMs);
  }

  stop(): Promise<void> {
    this.#isStopping = true;
    return this.#done;
  }

  async #run(): Promise<void> {
    for (let number = 1; !this.#isStopping; number++) {
      const key = `${this.#name}/${number % this.#keysPerWriter}`;
      let history = this.#histories.get(key);
      if (history === undefined) {
        history = { acknowledged: [], unknown: [], notDone: [] };
        this.#histories.set(key, history);
      }
      const value = `${this.#name}-${number}`;
      const startMs = performance.now();
      this.#startMs = startMs;
      try {
        await this.#client.put(key, value);
        history.acknowledged.push(value);
        this.slowestMs = Math.max(this.slowestMs, performance.now() - startMs);
        this.#tellGaps(startMs);
      } catch (error) {
        if (!(error instanceof KVError) || error.outcome === "refused") throw error;
        // Its test has failed and closed it.
        if (error.code === "Closed") return;
        (error.outcome === "unknown" ? history.unknown : history.notDone).push(value);
      }
    }
  }

  #tellGaps(startMs: number): void {
    const nowMs = performance.now();
    this.#waiting = this.#waiting.filter(({ fromMs, resolve }) => {
      if (fromMs > startMs) return true;
      resolve(nowMs - fromMs);
      return false;
    });
  }
}

/** Values of one key ascend. */
function numberOf(value: string | undefined): number {
  return value === undefined ? 0 : Number(value.split("-").at(-1));
}

export function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
