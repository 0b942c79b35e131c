import { clientEndsOf } from "../../src/client/client-ends.ts";
import { KVClient, KVError } from "../../src/client/kv-client.ts";
import type { Prng } from "../../src/env/prng.ts";
import type { Address } from "../../src/lib/address.ts";
import type { Operation } from "../history/operation.ts";
import type { ClientPlan } from "./plan.ts";
import type { SimNet } from "./sim-net.ts";
import { SimProcess } from "./sim-process.ts";
import type { Timeline } from "./timeline.ts";
import type { Trace } from "./trace.ts";

export interface ClientWorld {
  readonly timeline: Timeline;
  readonly net: SimNet;
  readonly trace: Trace;
  readonly addresses: readonly Address[];
  readonly keys: number;
  readonly valueBytesMax: number;
  /** Everything that any client did, in the order in which it ended. */
  readonly history: Operation[];
}

/** What is asked of the database, before it is known what comes of it. */
interface Asked {
  readonly operation: Operation["operation"];
  readonly key: string;
  readonly value: string | undefined;
}

/** One client program: a few requests at a time, each after some thought, and a record of what came of them. */
export class SimClient {
  readonly name: string;
  readonly client: KVClient;
  readonly #world: ClientWorld;
  readonly #plan: ClientPlan;
  readonly #prng: Prng;
  readonly #process: SimProcess;
  #left: number;
  #number = 0;
  #active = 0;
  /** The end of each request, and how long it took, in virtual ms. */
  readonly waits: { readonly endMs: number; readonly ms: number }[] = [];
  /** How often the servers have forgotten a session of this client. */
  endedSessions = 0;

  constructor(world: ClientWorld, place: number, plan: ClientPlan, prng: Prng) {
    this.name = `c${place + 1}`;
    this.#world = world;
    this.#plan = plan;
    this.#prng = prng;
    this.#left = plan.operations;
    const { timeline, net, addresses } = world;
    this.#process = new SimProcess(timeline, { name: this.name });
    const names = prng.fork();
    let session = 0;
    const env = {
      clock: this.#process,
      net: net.of(this.#process, this.name),
      newName: () => `${this.name}/${++session}-${names.u32().toString(36)}`,
    };
    this.client = new KVClient(clientEndsOf(addresses, env), { env, timeoutMs: plan.timeoutMs });
  }

  /** Requests that are under way. */
  get active(): number {
    return this.#active;
  }

  get isDone(): boolean {
    return this.#left === 0 && this.#active === 0;
  }

  start(): void {
    for (let lane = 0; lane < this.#plan.depth; lane++) this.#think();
  }

  /** Begins nothing more of its own. */
  stop(): void {
    this.#left = 0;
  }

  /** Asks for one thing, and records it. Resolves with the record. */
  async run(asked: Asked): Promise<Operation> {
    const { timeline, history, trace } = this.#world;
    const { operation, key } = asked;
    const start = timeline.stamp();
    const startMs = timeline.nowMs;
    this.#active++;
    trace.add(
      () => `${this.name} ${operation} ${key}${asked.value === undefined ? "" : ` ${brief(asked.value)}`}`,
    );
    let result: Partial<Operation> = {};
    let outcome: Operation["outcome"] = "ok";
    let why = "";
    try {
      result = await this.#call(asked);
    } catch (error) {
      if (!(error instanceof KVError)) throw error;
      outcome = error.outcome === "unknown" ? "unknown" : "failed";
      why = `${error.code}: ${error.message}`;
      if (error.code === "ErrSessionEnded") this.endedSessions++;
    }
    this.#active--;
    const end = timeline.stamp();
    this.waits.push({ endMs: timeline.nowMs, ms: timeline.nowMs - startMs });
    const done: Operation = {
      client: this.name,
      operation,
      key,
      value: asked.value,
      ...result,
      start,
      end,
      outcome,
    };
    history.push(done);
    trace.add(
      () =>
        `${this.name} ${operation} ${key} ${outcome} ${why}${brief(done.value ?? "-")} ${done.existed ?? ""}`,
    );
    return done;
  }

  /** Asks again and again, each time for what `ask` says, until it succeeds. */
  async insist(ask: () => Asked): Promise<void> {
    while ((await this.run(ask())).outcome !== "ok");
  }

  async #call({ operation, key, value }: Asked): Promise<Partial<Operation>> {
    switch (operation) {
      case "get":
        return { value: await this.client.get(key) };
      case "delete":
        return { existed: await this.client.delete(key) };
      default:
        await this.client.put(key, value!);
        return {};
    }
  }

  #think(): void {
    if (this.#left === 0) return;
    this.#left--;
    this.#process.after(this.#prng.int(0, this.#plan.thinkMsMax), () => {
      void this.run(this.#draw()).then(() => this.#think());
    });
  }

  #draw(): Asked {
    const { keys, valueBytesMax } = this.#world;
    const key = `k${this.#prng.int(1, keys)}`;
    const draw = this.#prng.int(1, 1000);
    const { getPerMille, deletePerMille } = this.#plan;
    if (draw <= getPerMille) return { operation: "get", key, value: undefined };
    if (draw <= getPerMille + deletePerMille) return { operation: "delete", key, value: undefined };
    return { operation: "put", key, value: this.newValue(this.#prng.int(0, valueBytesMax)) };
  }

  /** A value that nobody else ever puts. */
  newValue(bytes = 0): string {
    return `${this.name}.${++this.#number}`.padEnd(bytes, ".");
  }
}

function brief(value: string): string {
  return value.length <= 16 ? value : `${value.replace(/\.+$/, "")} (${value.length} bytes)`;
}
