import { type KVClient, KVError } from "../../src/client/kv-client.ts";
import type { Prng } from "../../src/env/prng.ts";
import type { Operation } from "../history/operation.ts";
import type { Asked, KeySpace } from "./key-space.ts";
import type { Recorder } from "./recorder.ts";
import { sleep } from "./sleep.ts";
import type { VersionLedger } from "./version-ledger.ts";

export interface ChaosClientOptions {
  readonly index: number;
  readonly prng: Prng;
  /** Requests that it has under way at one time, over one session. */
  readonly lanes: number;
  readonly thinkMsMax: number;
  /** A client of the library with a session of its own. */
  readonly connect: () => KVClient;
  readonly keySpace: KeySpace;
  readonly recorder: Recorder;
  readonly ledger: VersionLedger;
}

/** A client is closed, and another takes its place, after so many requests: sessions begin and end all the time. */
const clientLifeMin = 200;
const clientLifeMax = 1_000;

/** Most values are small, so that there are many in a memtable of a few KiB. */
const valueBytesMost = 200;
const valueBytesRare = 2_000;

/** A program that uses the database: a few requests at a time, each after some thought, all of them recorded. */
export class ChaosClient {
  readonly #options: ChaosClientOptions;
  readonly #name: string;
  #client: KVClient;
  #requestsLeft: number;
  #values = 0;

  constructor(options: ChaosClientOptions) {
    this.#options = options;
    this.#name = `c${options.index + 1}`;
    this.#client = options.connect();
    this.#requestsLeft = options.prng.int(clientLifeMin, clientLifeMax);
  }

  /** Resolves when the signal has come and what was under way is decided. Rejects when a server refused something. */
  async run(signal: AbortSignal): Promise<void> {
    const { lanes, prng } = this.#options;
    await Promise.all(Array.from({ length: lanes }, (_, lane) => this.#lane(lane, prng.fork(), signal)));
    await this.#client.close();
  }

  async #lane(lane: number, prng: Prng, signal: AbortSignal): Promise<void> {
    const { keySpace, index, thinkMsMax, recorder, ledger } = this.#options;
    const name = `${this.#name}.${lane + 1}`;
    for (;;) {
      await sleep(prng.int(0, thinkMsMax), signal);
      if (signal.aborted) return;
      this.#renewSometimes(prng);
      const asked = keySpace.draw(index, prng, () => this.#newValue(prng));
      const done = await runOperation(this.#client, name, asked);
      recorder.add(done);
      if (asked.isOwn) ledger.add(done);
    }
  }

  /** Requests of the other lanes that are under way fail: those that had been sent with an unknown outcome. */
  #renewSometimes(prng: Prng): void {
    if (this.#requestsLeft-- > 0) return;
    void this.#client.close();
    this.#client = this.#options.connect();
    this.#requestsLeft = prng.int(clientLifeMin, clientLifeMax);
  }

  /** The number makes it unlike all others; the rest is there for its size. */
  #newValue(prng: Prng): string {
    const bytes = prng.int(0, prng.chance(1, 20) ? valueBytesRare : valueBytesMost);
    return `${this.#name}-${++this.#values}`.padEnd(bytes, ".");
  }
}

/** Asks for one thing, and says what came of it. Throws when a server refuses it, which it has no reason to. */
export async function runOperation(client: KVClient, name: string, asked: Asked): Promise<Operation> {
  const { operation, key, value } = asked;
  const start = performance.now();
  try {
    const result = await call(client, asked);
    return { client: name, operation, key, value, ...result, start, end: endAfter(start), outcome: "ok" };
  } catch (error) {
    if (!(error instanceof KVError) || error.outcome === "refused")
      throw new Error(`The ${operation} of "${key}" by ${name} was refused: ${error}`, { cause: error });
    const outcome = error.outcome === "unknown" ? "unknown" : "failed";
    return { client: name, operation, key, value, start, end: endAfter(start), outcome };
  }
}

async function call(client: KVClient, { operation, key, value }: Asked): Promise<Partial<Operation>> {
  if (operation === "get") return { value: await client.get(key) };
  if (operation === "delete") return { existed: await client.delete(key) };
  await client.put(key, value ?? "");
  return {};
}

/** The moment when an operation ended. The clock is coarse, and an operation takes time. */
export function endAfter(start: number): number {
  return Math.max(performance.now(), start + 1e-3);
}
