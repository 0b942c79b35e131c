import { assert } from "../lib/assert.ts";
import { isVoter } from "./quorum.ts";
import type { Configuration, Index, NodeId } from "./types.ts";

/** A configuration, and the entry that brought it. */
interface Stamped {
  readonly index: Index;
  readonly configuration: Configuration;
}

/**
 * The configurations that may still be in force: the newest one that is committed, and those after it in the log. The
 * last one counts as soon as it is in the log, committed or not (paper 6), and counts no more when its entry is
 * replaced.
 */
export class Configurations {
  /** Ascending; the first one is committed. */
  readonly #stack: Stamped[];

  /** `index` is that of an applied entry which already knew this configuration. */
  constructor(index: Index, configuration: Configuration) {
    this.#stack = [{ index, configuration }];
  }

  get latest(): Configuration {
    return this.#stack[this.#stack.length - 1]!.configuration;
  }

  /** Whether the configuration in force is committed: only then may it be changed (paper 6). */
  get isSettled(): boolean {
    return this.#stack.length === 1;
  }

  /**
   * Whether this node votes by any configuration that may be in force. Who alone has the entry that leaves it out has to
   * lead until it is committed: nobody else may get the votes that it takes (thesis 4.2.2).
   */
  mayLead(id: NodeId): boolean {
    return this.#stack.some(({ configuration }) => isVoter(configuration, id));
  }

  append(index: Index, configuration: Configuration): void {
    assert(index > this.#stack[this.#stack.length - 1]!.index, "configurations follow each other in the log");
    this.#stack.push({ index, configuration });
  }

  /** The entries from `from` on are gone. */
  truncate(from: Index): void {
    assert(from > this.#stack[0]!.index, "a committed configuration is never replaced");
    while (this.#stack[this.#stack.length - 1]!.index >= from) this.#stack.pop();
  }

  /** Returns whether that settled a configuration. */
  commitTo(index: Index): boolean {
    if (this.#stack.length === 1) return false;
    let settled = 0;
    while (settled + 1 < this.#stack.length && this.#stack[settled + 1]!.index <= index) settled++;
    this.#stack.splice(0, settled);
    return settled > 0;
  }

  /** A snapshot brought this one: it takes the place of all that are not after it in a log that goes on. */
  restore(index: Index, configuration: Configuration, logGoesOn: boolean): void {
    const later = logGoesOn ? this.#stack.filter((stamped) => stamped.index > index) : [];
    this.#stack.splice(0, this.#stack.length, { index, configuration }, ...later);
  }
}

/**
 * Why this change must not be made, or undefined. Voters change by way of a joint configuration only (paper 6), whose
 * `outgoing` are the voters before; it is left by dropping them. Learners may change at any time.
 */
export function problemOfChange(from: Configuration, to: Configuration): string | undefined {
  if (to.incoming.length === 0) return "a cluster needs at least one voter";
  if (hasTwice(to.incoming) || hasTwice(to.outgoing) || hasTwice(to.learners)) return "a node is named twice";
  if (to.learners.some((id) => to.incoming.includes(id) || to.outgoing.includes(id)))
    return "a node is a learner or a voter, not both";
  if (from.outgoing.length > 0) {
    if (to.outgoing.length > 0 || !isSame(from.incoming, to.incoming))
      return "a joint configuration is left before the next one begins";
    return undefined;
  }
  const begins = to.outgoing.length > 0 && isSame(from.incoming, to.outgoing);
  const keeps = to.outgoing.length === 0 && isSame(from.incoming, to.incoming);
  return begins || keeps ? undefined : "voters change by way of a joint configuration";
}

function hasTwice(ids: readonly NodeId[]): boolean {
  return new Set(ids).size < ids.length;
}

function isSame(some: readonly NodeId[], others: readonly NodeId[]): boolean {
  return some.length === others.length && some.every((id) => others.includes(id));
}
