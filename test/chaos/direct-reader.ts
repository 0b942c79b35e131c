import { DirectReads } from "../e2e/direct-reads.ts";
import { endAfter } from "./chaos-client.ts";
import type { KeySpace } from "./key-space.ts";
import type { Recorder } from "./recorder.ts";
import { sleep } from "./sleep.ts";

/** How often one node is asked, and how long its answers are waited for: longer than most pauses of a node. */
const askEveryMs = 30;
const timeoutMs = 2_500;

/**
 * Asks one node, whoever leads, and again before it has answered. A client of the library leaves a leader that hangs; so it
 * never asks an old one anything after a new one has taken a write. Here such questions wait in the socket of an old
 * leader that was paused or cut off, and what it says to them goes into the history.
 */
export class DirectReader {
  readonly #name: string;
  readonly #reads: DirectReads;
  readonly #keySpace: KeySpace;
  readonly #recorder: Recorder;
  readonly #isGone: () => boolean;

  /** `isGone` says when there is nobody to ask any more. */
  constructor(node: number, port: number, keySpace: KeySpace, recorder: Recorder, isGone: () => boolean) {
    this.#isGone = isGone;
    this.#name = `direct.${node + 1}`;
    this.#reads = new DirectReads(port);
    this.#keySpace = keySpace;
    this.#recorder = recorder;
  }

  /** Resolves when the signal has come and what was under way is answered or given up. */
  async run(signal: AbortSignal): Promise<void> {
    const underWay = new Set<Promise<void>>();
    while (!signal.aborted && !this.#isGone()) {
      for (const key of this.#keySpace.hotKeys) {
        const read = this.#read(key);
        underWay.add(read);
        void read.finally(() => underWay.delete(read));
      }
      await sleep(askEveryMs, signal);
    }
    await Promise.all(underWay);
    await this.#reads.close();
  }

  /** Most nodes say that they do not lead; that says nothing of the key. Neither does an answer without a value, here. */
  async #read(key: string): Promise<void> {
    const start = performance.now();
    const value = await this.#reads.get(key, timeoutMs);
    if (value === undefined) return;
    const end = endAfter(start);
    this.#recorder.add({ client: this.#name, operation: "get", key, value, start, end, outcome: "ok" });
  }
}
