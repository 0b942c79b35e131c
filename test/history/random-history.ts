import type { Prng } from "../../src/env/prng.ts";
import type { Operation } from "./operation.ts";

/** What a random history is made of. */
export interface HistoryOptions {
  readonly operations: number;
  readonly clients: number;
  readonly keys: number;
  /** Different values that are put; undefined: every put has a value of its own. */
  readonly values?: number | undefined;
  /** Of a hundred operations. */
  readonly unknownPercent: number;
  readonly failedPercent: number;
  /** Times are whole numbers; the smaller this is, the more of them are equal. */
  readonly latencyMax: number;
}

interface Call {
  readonly client: string;
  readonly operation: Operation["operation"];
  readonly key: string;
  readonly value: string | undefined;
  readonly start: number;
  readonly end: number;
  readonly outcome: Operation["outcome"];
  /** When it takes effect, if ever. */
  readonly effect: number | undefined;
}

/**
 * A history that is linearizable, as it is made by real registers: clients that call one thing after the
 * other, each with an effect at one moment in between. Unknown writes have theirs then, or much later, or not
 * at all.
 */
export function randomHistory(prng: Prng, options: HistoryOptions): Operation[] {
  const calls: Call[] = [];
  const perClient = Math.ceil(options.operations / options.clients);
  for (let client = 0; client < options.clients; client++) {
    let time = prng.int(0, options.latencyMax);
    for (let count = 0; count < perClient && calls.length < options.operations; count++) {
      const call = randomCall(prng, options, `c${client}`, time, calls.length);
      calls.push(call);
      time = call.end + prng.int(0, 2);
    }
  }
  return answerAll(calls);
}

function randomCall(prng: Prng, options: HistoryOptions, client: string, start: number, id: number): Call {
  const { latencyMax, values, keys, unknownPercent, failedPercent } = options;
  const latency = prng.chance(1, 50) ? latencyMax * 4 : latencyMax;
  const end = start + prng.int(1, latency);
  const drawn = prng.int(1, 100);
  const [failed, unknown] = [drawn <= failedPercent, drawn > 100 - unknownPercent];
  const late = prng.chance(1, 3) ? end + prng.int(0, latencyMax * 20) : prng.int(start, end);
  const operation = prng.pick(["put", "put", "get", "get", "get", "delete"] as const);
  return {
    client,
    operation,
    key: `k${prng.int(1, keys)}`,
    value: operation === "put" ? `v${values === undefined ? id : prng.int(1, values)}` : undefined,
    start,
    end,
    outcome: failed ? "failed" : unknown ? "unknown" : "ok",
    effect: failed || (unknown && prng.chance(1, 3)) ? undefined : unknown ? late : prng.int(start, end),
  };
}

/** Runs the registers through all effects in the order of time, and tells the clients what they found. */
function answerAll(calls: readonly Call[]): Operation[] {
  const registers = new Map<string, string>();
  const answers = new Map<Call, Pick<Operation, "value" | "existed">>();
  const effective = calls.filter(({ effect }) => effect !== undefined);
  for (const call of effective.sort((a, b) => a.effect! - b.effect!)) {
    const { operation, key, value } = call;
    const found = registers.get(key);
    if (operation === "get") answers.set(call, { value: found });
    if (operation === "delete") answers.set(call, { existed: found !== undefined });
    if (operation === "put") registers.set(key, value!);
    if (operation === "delete") registers.delete(key);
  }
  return calls.map((call) => {
    const { client, operation, key, value, start, end, outcome } = call;
    const answer = outcome === "ok" ? answers.get(call) : undefined;
    return { client, operation, key, value, ...answer, start, end, outcome };
  });
}

/**
 * The same history with one answer that makes it wrong for certain: a get finds what was put long before,
 * after other clients had already found something else. Undefined when the history offers no such place.
 */
export function withStaleRead(prng: Prng, history: readonly Operation[]): Operation[] | undefined {
  const done = history.filter(({ outcome }) => outcome === "ok");
  const put = prng.pick(done.filter(({ operation }) => operation === "put"));
  const gets = done.filter((each) => each.operation === "get" && each.key === put.key);
  const between = gets.filter(({ start, value }) => start > put.end && value !== put.value);
  const later = gets.filter(({ start }) => between.some(({ end }) => end < start));
  if (later.length === 0) return undefined;
  const stale = prng.pick(later);
  const value = `${put.value} once`;
  return history.map((each) => (each === put || each === stale ? { ...each, value } : each));
}
