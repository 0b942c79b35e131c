import { assert } from "../../src/lib/assert.ts";
import type { Configuration } from "./configuration.ts";
import { type KeyHistory, missing, type Step } from "./key-history.ts";
import type { Operation } from "./operation.ts";

const placedLinesMax = 12;

/**
 * Why a key's history fits no order: the longest order that was found, and why none of the next steps
 * continues it.
 */
export function storyOfSearch(history: KeyHistory, best: Configuration): string[] {
  const placed: Operation[] = [];
  for (let at: Configuration | undefined = best; at !== undefined; at = at.parent)
    placed.unshift(...at.placed);
  const shown = placed.slice(-placedLinesMax);
  const count = `${best.count} of ${history.steps.length} operations that were done`;
  const last = shown.length < placed.length ? `; its last ${shown.length}:` : ":";
  const state = history.textOf(best.value);
  return [
    `The longest order of events has ${count}${last}`,
    ...shown.map((operation) => `  ${describe(operation)}`),
    `Then the key ${holds(best.value, state)}, and none of these can come next:`,
    ...best.open.map((at) => `  ${describe(history.steps[at]!.source)}: ${whyNot(history, best, at)}`),
  ];
}

/**
 * A read that no order can explain, because nothing wrote its value in time; undefined when there is none.
 */
export function storyOfUnwritten(history: KeyHistory): string[] | undefined {
  const firstStart = new Map([[history.initial, Number.NEGATIVE_INFINITY]]);
  const note = (value: number, start: number) =>
    firstStart.set(value, Math.min(start, firstStart.get(value) ?? Infinity));
  for (const { kind, value, start } of history.steps) if (kind !== "read") note(value, start);
  for (const { value, sources } of history.unknown) note(value, sources[0]!.start);
  const read = history.steps.find(
    ({ kind, value, end }) => kind === "read" && (firstStart.get(value) ?? Infinity) > end,
  );
  if (read === undefined) return undefined;
  const related = history.operations.filter((operation) => sets(operation, history.textOf(read.value)));
  return [
    `${describe(read.source)}: nothing that may have been done before it ended left the key so.`,
    ...(related.length === 0 ? ["No operation at all did."] : ["These would have:"]),
    ...related.slice(0, placedLinesMax).map((operation) => `  ${describe(operation)}`),
  ];
}

function sets({ operation, value }: Operation, wanted: string | undefined): boolean {
  return wanted === undefined ? operation === "delete" : operation === "put" && value === wanted;
}

/** One operation on one line, for people. */
function describe({ client, operation, value, existed, start, end, outcome }: Operation): string {
  const what = operation === "put" ? `put ${quote(value)}` : operation;
  const time = outcome === "unknown" ? `from ${start} on` : `${start} to ${end}`;
  return `${client}, ${time}: ${what}${answer()}`;

  function answer(): string {
    if (outcome !== "ok") return outcome === "failed" ? ", failed" : ", outcome unknown";
    if (operation === "get") return value === undefined ? " found no key" : ` found ${quote(value)}`;
    if (operation === "put" || existed === undefined) return "";
    return existed ? " found the key" : " found no key";
  }
}

/**
 * Nothing continues the longest order: each next step finds something else, or hides what a later read finds.
 */
function whyNot(history: KeyHistory, best: Configuration, at: number): string {
  const { kind, value } = history.steps[at]!;
  if (kind === "read") return value === missing ? "the key is there" : "the key holds something else";
  if (kind === "remove" && best.value === missing) return "the key is not there";
  const { end } = history.steps[best.low]!;
  const later = history.steps.find((step) => isReadOf(step, best.value) && step.start > end);
  assert(later !== undefined, "a write that does not hide what a read finds can come next");
  return `nothing could then explain ${describe(later.source)}`;
}

function isReadOf(step: Step, value: number): boolean {
  return step.kind === "read" && step.value === value;
}

function holds(value: number, text: string | undefined): string {
  if (value === missing) return "is not there";
  return text === undefined ? "has a value that nobody was shown" : `holds ${quote(text)}`;
}

function quote(value: string | undefined): string {
  const text = JSON.stringify(value ?? "");
  return text.length <= 60 ? text : `${text.slice(0, 60)}..."`;
}
