import type { Operation } from "./operation.ts";

/**
 * How far one order of events has come: which steps have their place, and what that leaves. Each step before
 * `low`, in the order of ends, has its place, and `low` has not; of the rest, those that started before `low`
 * ended have theirs unless they are `open`, and no others have. So the set costs as much as there are
 * operations at a time, however long the history is.
 */
export interface Configuration {
  readonly low: number;
  /** Steps that may come next, by their end; `low` is the first. */
  readonly open: readonly number[];
  readonly value: number;
  /** How many of each group of unknown writes took effect: those that started first. */
  readonly used: readonly number[];
  /** How many steps have their place. */
  readonly count: number;
  /** What got its place on the way here from `parent`, in order. */
  readonly placed: readonly Operation[];
  readonly parent: Configuration | undefined;
}

/**
 * The configurations that were seen, without those that are like another one but used more unknown writes.
 */
export class Explored {
  readonly #best = new Map<string, Configuration[]>();

  /** False when this or a better one is there already. */
  add(configuration: Configuration): boolean {
    const { low, open, value, used } = configuration;
    const rest = `${low}:${value}:${open.join()}`;
    const like = this.#best.get(rest);
    if (like === undefined) {
      this.#best.set(rest, [configuration]);
      return true;
    }
    if (like.some((other) => isAtMost(other.used, used))) return false;
    this.#best.set(rest, [configuration, ...like.filter((other) => !isAtMost(used, other.used))]);
    return true;
  }

  /** Those that no other one is better than. */
  best(): Configuration[] {
    return [...this.#best.values()].flat();
  }
}

function isAtMost(used: readonly number[], other: readonly number[]): boolean {
  return used === other || used.every((count, group) => count <= other[group]!);
}
