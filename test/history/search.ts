import { assert } from "../../src/lib/assert.ts";
import { type Configuration, Explored } from "./configuration.ts";
import { type KeyHistory, missing, type Step, unread } from "./key-history.ts";
import type { Operation } from "./operation.ts";

/** A complete order, or else the one that came furthest. */
export interface Found {
  readonly isComplete: boolean;
  readonly best: Configuration;
}

/** The search looked at as many configurations as it may, and has no answer: `best` is how far it came. */
export class SearchExhausted extends Error {
  override readonly name = "SearchExhausted";
  readonly best: Configuration;

  constructor(best: Configuration) {
    super("the search for an order of events has looked at as many configurations as it may");
    this.best = best;
  }
}

/**
 * Looks for an order of all steps, with unknown writes where they help, that a register allows and that keeps
 * apart what did not overlap: the search of Wing & Gong with Lowe's memory of configurations that were seen.
 * A step may come next when no step without a place ended before it started, that is when it started before
 * `low` ended, or just then. Where an order exists there is one that keeps the rules below too, so only those
 * are tried. To see that, take the rest of an order that completes a configuration; each rule changes it into
 * one that does so too:
 *
 * 1. A read that may come next and finds its value comes next. It changes nothing, so it can be taken out of
 *    where it is and put here.
 * 2. An unknown write is directly before a step that needs it, and is left out otherwise. Look at what
 *    follows it. If nothing does or a write does, nobody sees it. If a remove does, either there was a value
 *    anyway, or it is needed. If a read does, either it would find its value without, or it is needed. Where
 *    it is not needed it can go: after the next step all is as before, also for a remove, which leaves the
 *    key missing in any case. Nothing is moved across another write, and there are fewer unknown writes each
 *    time, so this ends.
 * 3. Of steps that do the same (write one value; remove) and may come next, the one that ends first is first:
 *    they can change places, as what follows the earlier one started before that ended, hence before the
 *    other ended. The same is true of whole blocks: a put that is the only one of its value ever, and all
 *    reads of it, if all may come next. They cannot be torn apart, nobody else sees which of two it was, and
 *    what counts is the first end of its steps.
 * 4. Of unknown writes of one value the first to start is used: those that may come next may be placed
 *    anywhere from now on, so only their number matters. For the same reason fewer are better than more,
 *    value by value.
 * 5. Where a remove needs an unknown put of any value, one of a value that no read found is used if there is
 *    one: whatever else would use that one is a remove too, and can have the other.
 * 6. A value is not overwritten, nor an unknown put of it spent, while a read of it has no place and every
 *    other write of it that is left starts after that read ended.
 */
export class Search {
  readonly #history: KeyHistory;

  constructor(history: KeyHistory) {
    this.#history = history;
  }

  /** Throws `SearchExhausted` after so many configurations. */
  run(configurationsMax: number): Found {
    const { length } = this.#history.steps;
    return this.#runDeep(Math.min(configurationsMax, 2 * length + 1000)) ?? this.#runWide(configurationsMax);
  }

  /**
   * Depth first, by deadlines: nearly straight to the end where there is an order. Where there is none this
   * can take too long, since it meets the better configurations, with fewer unknown writes, after the worse;
   * so it gives up.
   */
  #runDeep(configurationsMax: number): Found | undefined {
    const explored = new Explored();
    const stack = [this.#first()];
    let best = this.#first();
    for (let looked = 0; looked < configurationsMax; looked++) {
      const next = stack.pop();
      if (next === undefined) return { isComplete: false, best };
      if (next.count > best.count) best = next;
      if (next.count === this.#history.steps.length) return { isComplete: true, best };
      if (explored.add(next)) stack.push(...this.#following(next));
    }
    return undefined;
  }

  /**
   * Breadth first, by the number of steps placed, so that only the best configurations of each number go on.
   */
  #runWide(configurationsMax: number): Found {
    const layers: Explored[] = [];
    const add = (to: Configuration) => {
      layers[to.count] ??= new Explored();
      layers[to.count]!.add(to);
    };
    let best = this.#first();
    add(best);
    let looked = 0;
    for (let count = best.count; count < layers.length; count++) {
      for (const next of layers[count]?.best() ?? []) {
        best = next;
        if (count === this.#history.steps.length) return { isComplete: true, best };
        if (looked++ === configurationsMax) throw new SearchExhausted(best);
        for (const to of this.#following(next)) add(to);
      }
      delete layers[count];
    }
    return { isComplete: false, best };
  }

  #first(): Configuration {
    const { unknown, initial } = this.#history;
    const start = { value: initial, used: unknown.map(() => 0), placed: [] };
    const nothing = { ...start, low: 0, open: [], count: 0, parent: undefined };
    return this.#settle(nothing, this.#history.startedBetween(-1, 0), start);
  }

  /** The configurations that one more write leads to; the one to try first is the last. */
  #following(from: Configuration): Configuration[] {
    const mayOverwrite = !this.#strands(from, from.value, from.used);
    return this.#candidates(from).flatMap((at) => {
      const { kind, value } = this.#history.steps[at]!;
      const isSame = kind === "write" && value === from.value;
      return mayOverwrite || isSame ? this.#place(from, at) : [];
    });
  }

  /**
   * Of open steps that do the same (rule 3) the one with the first deadline; those to try first are the last.
   */
  #candidates({ low, open }: Configuration): number[] {
    const { steps, deadlines } = this.#history;
    const now = steps[low]!.end;
    const candidates = new Map<string, number>();
    const readEnds = new Map<number, number>();
    for (const at of open) {
      const { kind, value, end } = steps[at]!;
      if (kind === "read" && !readEnds.has(value)) readEnds.set(value, end);
      const same = this.#isBlock(steps[at]!, now) ? "block" : `${kind} ${value}`;
      const other = candidates.get(same);
      if (other === undefined || deadlines[at]! < deadlines[other]!) candidates.set(same, at);
    }
    // A guess: who waits for a value is in a hurry for any write of it.
    const urgency = (at: number) => Math.min(deadlines[at]!, readEnds.get(steps[at]!.value) ?? Infinity);
    return [...candidates.values()].sort((a, b) => urgency(b) - urgency(a));
  }

  #isBlock({ kind, value }: Step, now: number): boolean {
    const history = this.#history;
    return kind === "write" && history.isPutOnce(value) && history.readEndAfter(value, now) === Infinity;
  }

  /** The ways to let step `at` come next, if only after an unknown write. */
  #place(from: Configuration, at: number): Configuration[] {
    const { kind, value, source } = this.#history.steps[at]!;
    const without = from.open.filter((each) => each !== at);
    if (kind === "write" || (kind === "remove" && from.value !== missing))
      return [this.#settle(from, without, { value, used: from.used, placed: [source] })];
    if (kind === "read") {
      const supply = this.#use(from, value);
      return supply === undefined ? [] : [this.#settle(from, from.open, { ...supply, value })];
    }
    return this.#suppliesOfRemove(from).map(({ used, placed }) =>
      this.#settle(from, without, { value: missing, used, placed: [...placed, source] }),
    );
  }

  /** What the unknown put may be that a remove found, on a key that is missing otherwise. */
  #suppliesOfRemove(from: Configuration): Supply[] {
    const any = this.#use(from, unread);
    if (any !== undefined) return [any];
    const supplies: Supply[] = [];
    for (const { value } of this.#history.unknown) {
      const supply = value === missing ? undefined : this.#use(from, value);
      if (supply !== undefined && !this.#strands(from, value, supply.used)) supplies.push(supply);
    }
    return supplies;
  }

  /** Lets one more unknown write of a value take effect, if one had started. */
  #use({ low, used }: Configuration, value: number): Supply | undefined {
    const { steps, unknown } = this.#history;
    const group = this.#history.unknownOf(value);
    if (group === undefined) return undefined;
    const source = unknown[group]!.sources[used[group]!];
    if (source === undefined || source.start > steps[low]!.end) return undefined;
    return { used: used.with(group, used[group]! + 1), placed: [source] };
  }

  /**
   * Whether a read would be left over when the value is gone and so many unknown writes are used (rule 6).
   */
  #strands({ low, open }: Configuration, value: number, used: readonly number[]): boolean {
    const { steps, unknown } = this.#history;
    const now = steps[low]!.end;
    let readEnd = this.#history.readEndAfter(value, now);
    let writeStart = this.#history.writeStartAfter(value, now);
    for (const at of open) {
      const { kind, value: other, start, end } = steps[at]!;
      if (other !== value) continue;
      if (kind === "read") readEnd = Math.min(readEnd, end);
      else writeStart = Math.min(writeStart, start);
    }
    const group = this.#history.unknownOf(value);
    const next = group === undefined ? undefined : unknown[group]!.sources[used[group]!];
    return readEnd < Math.min(writeStart, next?.start ?? Infinity);
  }

  /** Gives a place to each read that finds its value, and moves on as far as that opens new steps. */
  #settle(
    parent: Configuration,
    opened: readonly number[],
    { value, used, placed }: Supply & { readonly value: number },
  ): Configuration {
    const { steps } = this.#history;
    const allPlaced = [...placed];
    let low = parent.low;
    let open = opened.toSorted((a, b) => a - b);
    while (low < steps.length) {
      const isFound = (at: number) => steps[at]!.kind === "read" && steps[at]!.value === value;
      for (const at of open) if (isFound(at)) allPlaced.push(steps[at]!.source);
      open = open.filter((at) => !isFound(at));
      if (open[0] === low) break;
      const next = this.#nextLow(low, open);
      open = [...open, ...this.#history.startedBetween(low, next)].sort((a, b) => a - b);
      low = next;
    }
    const count = this.#history.startedCount(low) - open.length;
    assert(
      parent.parent === undefined || count > parent.count,
      "every configuration places more than its parent",
    );
    return { low, open, value, used, count, placed: allPlaced, parent };
  }

  /** The first step without a place, when `low` has one now and `open` do not. */
  #nextLow(low: number, open: readonly number[]): number {
    const { steps } = this.#history;
    const { end } = steps[low]!;
    let next = low + 1;
    while (next < steps.length && next !== open[0] && steps[next]!.start <= end) next++;
    return next;
  }
}

interface Supply {
  readonly used: readonly number[];
  readonly placed: readonly Operation[];
}
