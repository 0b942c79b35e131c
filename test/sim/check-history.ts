import { assert } from "../../src/lib/assert.ts";
import { checkLinearizable } from "../history/linearizability.ts";
import type { Operation } from "../history/operation.ts";

/**
 * What clients saw against what was done: every acknowledged put is in the one history, none that was said not to be done
 * is, and all that was answered fits one order of events. `entryOf` finds the entry whose put of a value took effect.
 */
export function checkHistory(
  history: readonly Operation[],
  entryOf: (value: string) => number | undefined,
): void {
  for (const { operation, key, value, outcome, client } of history) {
    if (operation !== "put") continue;
    const isDone = entryOf(value!) !== undefined;
    const what = `the put of ${key} = "${value!.slice(0, 20)}" by ${client}`;
    if (outcome === "ok") assert(isDone, `${what} was acknowledged, so it is in the history`);
    if (outcome === "failed") assert(!isDone, `${what} was said not to be done, so it is not in the history`);
  }
  const verdict = checkLinearizable(history);
  if (!verdict.ok)
    assert(
      false,
      `what clients saw of "${verdict.key}" fits one order of events:\n${verdict.story.join("\n")}`,
    );
}
