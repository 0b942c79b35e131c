import { expect, test } from "bun:test";
import { Prng } from "../../src/env/prng.ts";
import { encodeCommand } from "../../src/kv/command.ts";
import { sessionLifeMs } from "../../src/kv/limits.ts";
import { StateMachine } from "../../src/kv/state-machine.ts";
import type { Status } from "../../src/kv/status.ts";
import { type Bytes, fromUtf8 } from "../../src/lib/bytes.ts";
import { ByteWriter } from "../../src/lib/codec.ts";
import { MapStore } from "../kv/map-store.ts";
import { seeds } from "../leveldb/seed.ts";
import { Call, FakeCluster, type Request } from "./fake-cluster.ts";

// Goal: whatever servers and networks do to a client's requests, a put that resolved was applied once, one that was
// refused or not done was not applied, one of unknown outcome at most once, and those that resolved were applied in the
// order of the calls. Method: servers that answer with chance at will, in front of one real state machine.

/** Remembers every value that was put, each time it was. */
class RecordingStore extends MapStore {
  readonly puts: string[] = [];

  override put(key: Bytes, value: Bytes, sequence: number): void {
    if (key[0] === 0x6b) this.puts.push(fromUtf8(value));
    super.put(key, value, sequence);
  }
}

class Chaos {
  readonly cluster: FakeCluster;
  readonly store = new RecordingStore();
  readonly #machine = new StateMachine(this.store, 0);
  readonly #prng: Prng;
  #index = 0;
  #aheadMs = 0;
  isCalm = false;

  constructor(seed: number) {
    this.#prng = new Prng(seed);
    this.cluster = new FakeCluster(3, { timeoutMs: 1200, seed });
    for (const server of this.cluster.servers) {
      server.handle = (request) => this.#handle(request);
      server.timeMs = () => this.#nowMs;
    }
  }

  get #nowMs(): number {
    return this.cluster.clock.wallMs() + this.#aheadMs;
  }

  #handle(request: Request): void {
    const prng = this.#prng;
    const server = prng.pick(this.cluster.servers);
    if (this.isCalm) return this.#answer(request);
    if (prng.chance(1, 300)) this.#aheadMs += sessionLifeMs + 1;
    switch (prng.int(0, 24)) {
      case 0:
        return request.refuse("ErrWrongLeader", { leader: server.name });
      case 1:
        return request.refuse("ErrBusy", { leader: request.server.name });
      case 2:
        this.#apply(request);
        return request.cut();
      case 3:
        return request.cut();
      case 4:
        this.#apply(request);
        return request.refuse("CommitTimeout");
      case 5: {
        const lateMs = prng.int(1, 3000);
        this.cluster.clock.after(lateMs, () => this.#apply(request));
        return prng.chance(1, 2) ? request.refuse("CommitTimeout") : undefined;
      }
      case 6:
        if (prng.chance(1, 2)) this.#apply(request);
        return request.garbage(new Uint8Array([prng.int(0, 255)]));
      case 7: {
        // The answer takes longer than the client waits for one attempt.
        const status = this.#apply(request);
        this.cluster.clock.after(prng.int(1, 2500), () => this.#tell(request, status));
        return undefined;
      }
      default:
        return this.#answer(request);
    }
  }

  /** As a leader does it: a duplicate is not applied again, a session that ended is not even proposed. */
  #answer(request: Request): void {
    if (request.key === "large") return request.refuse("ErrTooLarge");
    const admission = this.#machine.admit(request.command!.session!);
    if (admission.kind === "refuse" && admission.status === "ErrSessionEnded")
      return request.refuse("ErrSessionEnded", { leader: request.server.name });
    return this.#tell(request, this.#apply(request));
  }

  #tell(request: Request, status: Status): void {
    if (status === "OK") request.ok();
    else if (status === "ErrNoKey") request.noKey();
    else request.refuse(status, { leader: request.server.name });
  }

  #apply(request: Request): Status {
    if (request.key === "large") return "ErrTooLarge";
    const writer = new ByteWriter();
    encodeCommand(writer, { ...request.command!, timeMs: this.#nowMs });
    return this.#machine.applyCommand(++this.#index, writer.take()).status;
  }
}

async function runOnce(seed: number): Promise<Map<string, number>> {
  const prng = new Prng(seed + 1);
  const chaos = new Chaos(seed);
  const { cluster, store } = chaos;
  const calls: Call[] = [];
  for (let burst = 0; burst < 40; burst++) {
    for (let count = prng.int(0, 8); count > 0; count--) {
      const key = prng.chance(1, 30) ? "large" : `k${prng.int(0, 2)}`;
      calls.push(new Call(cluster, cluster.client.put(key, `v${calls.length}`)));
    }
    await cluster.run(prng.pick([0, 1, 5, 40, 150]));
  }
  await cluster.run(1300);
  chaos.isCalm = true;
  await cluster.run(3500);
  await cluster.close();

  const kinds = new Map<string, number>();
  const appliedAt = new Map<string, number>();
  for (const [at, value] of store.puts.entries()) {
    expect(`${value} first at ${appliedAt.get(value) ?? at}`).toBe(`${value} first at ${at}`);
    appliedAt.set(value, at);
  }
  let lastAt = -1;
  for (const [number, { result }] of calls.entries()) {
    const kind = result.split("/")[0]!;
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    const at = appliedAt.get(`v${number}`);
    expect(["OK", "refused", "not-done", "unknown"]).toContain(kind);
    if (kind === "OK") {
      expect(`v${number} applied: ${at !== undefined && at > lastAt}`).toBe(`v${number} applied: true`);
      lastAt = at!;
    } else if (kind !== "unknown")
      expect(`v${number} applied at ${at}`).toBe(`v${number} applied at undefined`);
  }
  return kinds;
}

test("a put is applied exactly once, or not, as its caller is told, and in order", async () => {
  const totals = new Map<string, number>();
  for (const seed of seeds(10)) {
    try {
      for (const [kind, count] of await runOnce(seed)) totals.set(kind, (totals.get(kind) ?? 0) + count);
    } catch (error) {
      if (error instanceof Error) error.message = `SEED=${seed}: ${error.message}`;
      throw error;
    }
  }
  // The chaos is one that the client can get through, most of the time.
  expect(totals.get("OK")).toBeGreaterThan(40);
});
