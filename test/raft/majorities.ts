import { assert } from "../../src/lib/assert.ts";
import type { Raft } from "../../src/raft/raft.ts";
import type { Configuration, EntryId } from "../../src/raft/types.ts";
import { alwaysMeet } from "./dumb-quorum.ts";

/**
 * Never two disjoint majorities: of all nodes that are up and whose logs hold everything that is decided, any two
 * configurations in force have no quorums that share nobody, and at most one of them is not decided. Why this is the
 * right thing to ask, and why it holds, stands at majority-checker.ts.
 */
export class Majorities {
  /** By the texts of two configurations, whether they always meet. */
  readonly #known = new Map<string, boolean>();
  readonly #texts = new WeakMap<Configuration, string>();
  /** Told when changes overlap: how many configurations were in force at one time, at most. */
  inForceMax = 0;

  /** `decided` is the newest decided configuration, `last` the last decided entry, if there is one. */
  check(cores: Iterable<Raft>, decided: Configuration, last: EntryId | undefined): void {
    const inForce = new Map<string, Configuration>();
    for (const raft of cores) {
      const { configuration } = raft;
      const text = this.#textOf(configuration);
      if (text === "" || inForce.has(text)) continue;
      if (last === undefined || holds(raft, last)) inForce.set(text, configuration);
    }
    this.inForceMax = Math.max(this.inForceMax, inForce.size);
    if (inForce.size < 2) return;
    const all = [...inForce];
    const open = all.filter(([text]) => text !== this.#textOf(decided)).map(([text]) => text);
    assert(open.length <= 1, `one change at a time: ${open.join(" and ")} after ${this.#textOf(decided)}`);
    for (const [one, first] of all)
      for (const [other, second] of all)
        if (one < other)
          assert(this.#meet(one, other, first, second), `no two majorities: ${one} and ${other}`);
  }

  #meet(one: string, other: string, first: Configuration, second: Configuration): boolean {
    const key = `${one} ${other}`;
    let result = this.#known.get(key);
    if (result === undefined) {
      result = alwaysMeet(first, second);
      this.#known.set(key, result);
    }
    return result;
  }

  /** Empty for that of a server which has yet to be told who the members are. */
  #textOf(configuration: Configuration): string {
    const known = this.#texts.get(configuration);
    if (known !== undefined) return known;
    const text = describe(configuration);
    this.#texts.set(configuration, text);
    return text;
  }
}

function describe({ incoming, outgoing, learners }: Configuration): string {
  if (incoming.length === 0) return "";
  const list = (ids: readonly string[]) => `(${[...ids].sort().join(" ")})`;
  return `${list(incoming)}${list(outgoing)}${list(learners)}`;
}

/** What a log has dropped was decided, so that it agrees with everything that is. */
function holds(raft: Raft, { index, term }: EntryId): boolean {
  const { firstIndex, last } = raft.getState();
  if (index < firstIndex) return true;
  return index <= last.index && raft.entries(index, 0)[0]!.term === term;
}
