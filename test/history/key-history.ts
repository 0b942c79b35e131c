import { assert } from "../../src/lib/assert.ts";
import type { Operation } from "./operation.ts";

/** The value of a key that is not there. */
export const missing = 0;
/** Every value that nobody was shown: no answer tells them apart, so they are one. */
export const unread = 1;

/**
 * An operation that was done, as what it asks of a register and does to it:
 * - read: finds `value`, changes nothing (a get; a delete that found no key is one of `missing`)
 * - write: sets `value`, whatever was there (a put; a delete that was not told whether the key existed sets
 *   `missing`)
 * - remove: finds any value, and sets `missing`
 */
export interface Step {
  readonly kind: "read" | "write" | "remove";
  readonly value: number;
  readonly start: number;
  readonly end: number;
  readonly source: Operation;
}

/** Writes of one value whose outcome nobody knows, by their start. */
export interface UnknownWrites {
  readonly value: number;
  readonly sources: readonly Operation[];
}

/**
 * What was done to one key, with values as small numbers and the tables that the search looks things up in.
 */
export class KeyHistory {
  /** Operations that were done, by their end. A number below that is called `at` is an index into this. */
  readonly steps: readonly Step[];
  readonly unknown: readonly UnknownWrites[];
  readonly initial: number;
  /** All operations on the key, those that failed too, as they were given. */
  readonly operations: readonly Operation[];
  /**
   * For each step the latest time for its place: its end or, of a value that is put once, that of the first
   * read.
   */
  readonly deadlines: readonly number[];
  readonly #putOnce: ReadonlySet<number>;
  /** The steps by their start. */
  readonly #byStart: readonly number[];
  readonly #startedCounts: readonly number[];
  readonly #texts: readonly (string | undefined)[];
  readonly #unknownOf = new Map<number, number>();
  readonly #reads = new Map<number, FirstAfter>();
  readonly #writes = new Map<number, FirstAfter>();

  constructor(operations: readonly Operation[], initial: string | undefined) {
    this.operations = operations;
    const names = new ValueNames(operations);
    this.initial = names.of(initial);
    for (const { operation, value, start, end } of operations) {
      assert(operation !== "put" || value !== undefined, "a put says what was put");
      assert(
        start < end && Number.isFinite(end - start),
        "an operation ends after it starts, at a finite time",
      );
    }
    const done = operations.filter(({ outcome }) => outcome === "ok");
    this.steps = done.map((source) => toStep(source, names)).sort((a, b) => a.end - b.end);
    this.unknown = groupUnknown(operations, names);
    for (const [group, { value }] of this.unknown.entries()) this.#unknownOf.set(value, group);
    this.#texts = names.texts;
    this.#byStart = [...this.steps.keys()].sort((a, b) => this.steps[a]!.start - this.steps[b]!.start);
    this.#startedCounts = this.#countStarted();
    this.#putOnce = this.#findPutOnce();
    this.deadlines = this.#findDeadlines();
    for (const at of this.#byStart.toReversed()) {
      const { kind, value, start, end } = this.steps[at]!;
      const table = kind === "read" ? this.#reads : this.#writes;
      if (!table.has(value)) table.set(value, new FirstAfter());
      table.get(value)!.addEarlier(start, kind === "read" ? end : start);
    }
  }

  /** How many steps started before step `at` ended, or just then. */
  startedCount(at: number): number {
    return this.#startedCounts[at] ?? this.steps.length;
  }

  /**
   * The steps that start after step `from` (-1: from the beginning) ends and before `to` ends, or just then.
   */
  startedBetween(from: number, to: number): readonly number[] {
    return this.#byStart.slice(from < 0 ? 0 : this.startedCount(from), this.startedCount(to));
  }

  /**
   * Whether whoever read the value read the same write, as there is one only; true of `unread`, never of
   * `missing`.
   */
  isPutOnce(value: number): boolean {
    return this.#putOnce.has(value);
  }

  /** The first end of the reads of a value that start after a time. */
  readEndAfter(value: number, time: number): number {
    return this.#reads.get(value)?.firstAfter(time) ?? Infinity;
  }

  /** The first start of the writes of a value that start after a time. */
  writeStartAfter(value: number, time: number): number {
    return this.#writes.get(value)?.firstAfter(time) ?? Infinity;
  }

  /** The index in `unknown` of the writes of a value. */
  unknownOf(value: number): number | undefined {
    return this.#unknownOf.get(value);
  }

  /** The text of a value, undefined for `missing` and for the many that are `unread`. */
  textOf(value: number): string | undefined {
    return this.#texts[value];
  }

  #findPutOnce(): Set<number> {
    const all = [...this.steps.filter(({ kind }) => kind !== "read"), ...this.unknown.flatMap(eachWrite)];
    const counts = new Map([[this.initial, 1]]);
    for (const { value } of all) counts.set(value, (counts.get(value) ?? 0) + 1);
    const once = [...counts].filter(([value, count]) => value !== missing && count === 1);
    return new Set([unread, ...once.map(([value]) => value)]);
  }

  #findDeadlines(): number[] {
    const firstRead = new Map<number, number>();
    for (const { kind, value, end } of this.steps)
      if (kind === "read" && !firstRead.has(value)) firstRead.set(value, end);
    return this.steps.map(({ kind, value, end }) =>
      kind === "write" && this.isPutOnce(value) ? Math.min(end, firstRead.get(value) ?? end) : end,
    );
  }

  #countStarted(): number[] {
    let count = 0;
    return this.steps.map(({ end }) => {
      while (count < this.#byStart.length && this.steps[this.#byStart[count]!]!.start <= end) count++;
      return count;
    });
  }
}

/** Answers which is the least number of all that belong to a later time. */
class FirstAfter {
  /** From the last time to the first, with the least number of that time and all later ones. */
  readonly #least: { readonly time: number; readonly number: number }[] = [];

  addEarlier(time: number, number: number): void {
    this.#least.push({ time, number: Math.min(number, this.#least.at(-1)?.number ?? Infinity) });
  }

  firstAfter(time: number): number {
    let [later, limit] = [0, this.#least.length];
    while (later < limit) {
      const middle = (later + limit) >>> 1;
      if (this.#least[middle]!.time > time) later = middle + 1;
      else limit = middle;
    }
    return this.#least[later - 1]?.number ?? Infinity;
  }
}

/** Numbers for values: those that were read have one each. */
class ValueNames {
  readonly texts: (string | undefined)[] = [undefined, undefined];
  readonly #numbers = new Map<string, number>();

  constructor(operations: readonly Operation[]) {
    for (const { operation, outcome, value } of operations) {
      if (operation !== "get" || outcome !== "ok" || value === undefined || this.#numbers.has(value))
        continue;
      this.#numbers.set(value, this.texts.length);
      this.texts.push(value);
    }
  }

  of(text: string | undefined): number {
    return text === undefined ? missing : (this.#numbers.get(text) ?? unread);
  }
}

function toStep(source: Operation, names: ValueNames): Step {
  const { operation, value, existed, start, end } = source;
  const step = { value: missing, start, end, source };
  if (operation === "get") return { ...step, kind: "read", value: names.of(value) };
  if (operation === "put") return { ...step, kind: "write", value: names.of(value) };
  if (existed === undefined) return { ...step, kind: "write" };
  return { ...step, kind: existed ? "remove" : "read" };
}

function eachWrite({ value, sources }: UnknownWrites): { readonly value: number }[] {
  return sources.map(() => ({ value }));
}

function groupUnknown(operations: readonly Operation[], names: ValueNames): UnknownWrites[] {
  const groups = new Map<number, Operation[]>();
  for (const source of operations) {
    if (source.outcome !== "unknown" || source.operation === "get") continue;
    const value = source.operation === "delete" ? missing : names.of(source.value);
    const group = groups.get(value);
    if (group === undefined) groups.set(value, [source]);
    else group.push(source);
  }
  return [...groups].map(([value, sources]) => ({
    value,
    sources: sources.sort((a, b) => a.start - b.start),
  }));
}
