import { KeyHistory } from "./key-history.ts";
import type { Operation } from "./operation.ts";
import { Search, SearchExhausted } from "./search.ts";
import { storyOfSearch, storyOfUnwritten } from "./story.ts";

/** Whether a history is linearizable; if not, a key that shows it, and lines for people that say how. */
export type Verdict =
  | { readonly ok: true }
  | { readonly ok: false; readonly key: string; readonly story: string[] };

/** Enough for a long history of tens of operations at a time; many more would not fit into memory. */
const configurationsMaxDefault = 1_000_000;

/**
 * Whether one order of events explains all that clients were told: each operation that is ok has one moment
 * from its start to its end, both included; each one that is unknown has a moment from its start on, or none;
 * one that failed has none, and neither has an unknown get. A key is a register of its own, so keys are
 * checked one by one: a history is linearizable when that of each key is (Herlihy & Wing). `initial` is what
 * is there before; other keys are missing.
 *
 * Throws when it has no answer for a key after `configurationsMax` steps of the search: that is never taken
 * for one.
 */
export function checkLinearizable(
  history: readonly Operation[],
  initial: ReadonlyMap<string, string> = new Map(),
  configurationsMax = configurationsMaxDefault,
): Verdict {
  for (const [key, operations] of Map.groupBy(history, (operation) => operation.key)) {
    const story = checkKey(key, new KeyHistory(operations, initial.get(key)), configurationsMax);
    if (story !== undefined) return { ok: false, key, story };
  }
  return { ok: true };
}

/** The story of why the history of a key is not linearizable; undefined when it is. */
function checkKey(key: string, history: KeyHistory, configurationsMax: number): string[] | undefined {
  if (history.steps.length === 0) return undefined;
  const unwritten = storyOfUnwritten(history);
  if (unwritten !== undefined) return unwritten;
  try {
    const { isComplete, best } = new Search(history).run(configurationsMax);
    return isComplete ? undefined : storyOfSearch(history, best);
  } catch (error) {
    if (!(error instanceof SearchExhausted)) throw error;
    throw new Error(
      `Cannot decide on the history of the key ${JSON.stringify(key)}: the best of ${configurationsMax} ` +
        `configurations has ${error.best.count} of ${history.steps.length} operations; ` +
        "check a shorter history, or one with fewer operations at a time, or allow more configurations",
      { cause: error },
    );
  }
}
