/**
 * A closed loop: each of `clients` connections has one request under way, and sends the next when its reply is there.
 * The same loop drives every system, so that only the bytes differ.
 */
export interface LoadConnection {
  /** Sends the next request; `done` is called once, with whether the reply was the expected one. */
  send(done: (isGood: boolean) => void): void;
  close(): void;
}

export interface LoadResult {
  readonly operations: number;
  readonly failures: number;
  readonly seconds: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly worstMs: number;
}

/** Runs all connections for so many seconds, or until it is over, then waits for what is under way. */
export async function runLoad(
  connections: readonly LoadConnection[],
  until: number | ((nowMs: number) => boolean),
): Promise<LoadResult> {
  const latencies = new Latencies();
  let failures = 0;
  const startMs = performance.now();
  const endMs = typeof until === "number" ? startMs + until * 1000 : 0;
  const isOver = typeof until === "number" ? (nowMs: number) => nowMs >= endMs : until;
  await Promise.all(
    connections.map(
      (connection) =>
        new Promise<void>((resolve) => {
          let sentMs = 0;
          const done = (isGood: boolean) => {
            const nowMs = performance.now();
            latencies.add(nowMs - sentMs);
            if (!isGood) failures++;
            if (isOver(nowMs)) return resolve();
            sentMs = nowMs;
            connection.send(done);
          };
          sentMs = performance.now();
          connection.send(done);
        }),
    ),
  );
  const tookSeconds = (performance.now() - startMs) / 1000;
  const operations = latencies.count;
  return {
    operations,
    failures,
    seconds: tookSeconds,
    perSecond: operations / tookSeconds,
    ...latencies.summary(),
  };
}

class Latencies {
  #values = new Float64Array(1 << 16);
  count = 0;

  add(ms: number): void {
    if (this.count === this.#values.length) {
      const grown = new Float64Array(this.count * 2);
      grown.set(this.#values);
      this.#values = grown;
    }
    this.#values[this.count++] = ms;
  }

  summary(): { p50Ms: number; p99Ms: number; worstMs: number } {
    const sorted = this.#values.subarray(0, this.count).sort();
    const at = (share: number) => sorted[Math.min(this.count - 1, Math.floor(this.count * share))] ?? 0;
    return { p50Ms: at(0.5), p99Ms: at(0.99), worstMs: at(1) };
  }
}

/** Keys and values that differ at every operation: what never changes is written for nothing. */
export class Workload {
  readonly keyCount: number;
  readonly #value: Uint8Array;
  #serial = 0;

  constructor(keyCount: number, valueBytes: number) {
    this.keyCount = keyCount;
    this.#value = crypto.getRandomValues(new Uint8Array(valueBytes));
  }

  /** A random key of 16 bytes. */
  key(): string {
    return `key:${String(Math.floor(Math.random() * this.keyCount)).padStart(12, "0")}`;
  }

  /** Random bytes with a new serial number in front; valid until the next call. */
  value(): Uint8Array {
    new DataView(this.#value.buffer).setFloat64(0, ++this.#serial);
    return this.#value;
  }
}
