/** A run, as far as the choice of merges goes. */
export interface RunSize {
  readonly bytes: number;
  /** Whether it takes part in a merge already, as input or output. */
  readonly isMerging: boolean;
}

export interface MergeAims {
  /** A read may have to ask each run: with more than these, the cheapest merge is next. */
  readonly runsMax: number;
  /** Bytes of all files to those that are alive, as far as is known. */
  readonly spaceRatio: number;
  /** From this ratio on everything is merged, which gives the space back. */
  readonly spaceRatioMax: number;
}

/** Runs [from, to) of the list, newest first. */
export interface MergeRange {
  readonly from: number;
  readonly to: number;
}

/** Merging fewer would write rows again too often. */
const mergeRunsMin = 8;
/**
 * The largest run of a merge is at most this part of it: rows are written again only into a run that is much
 * larger.
 */
const largestPart = 1 / 4;

/**
 * Which adjacent runs to merge next; undefined for none.
 *
 * When too much of the space is garbage, all of them. Else by size: at least eight, none larger than a quarter of
 * them together. So a row is written again about log4(store / memtable) times in its life at the worst, and about
 * log8 of it as a rule. Small runs in between never stand in the way.
 */
export function pickMerge(runs: readonly RunSize[], aims: MergeAims): MergeRange | undefined {
  const isQuiet = runs.every((run) => !run.isMerging);
  if (isQuiet && runs.length > 1 && aims.spaceRatio > aims.spaceRatioMax) return { from: 0, to: runs.length };
  for (const range of freeRanges(runs)) {
    for (let from = range.from; from + mergeRunsMin <= range.to; from++) {
      const to = similarUntil(runs, from, range.to);
      if (to !== undefined) return { from, to };
    }
  }
  if (!isQuiet || runs.length <= aims.runsMax) return undefined;
  return cheapest(runs, Math.max(2, runs.length - aims.runsMax + 1));
}

/** The widest ranges of runs that take part in no merge. */
function freeRanges(runs: readonly RunSize[]): MergeRange[] {
  const ranges: MergeRange[] = [];
  for (let from = 0; from < runs.length; from++) {
    if (runs[from]!.isMerging) continue;
    let to = from;
    while (to < runs.length && !runs[to]!.isMerging) to++;
    ranges.push({ from, to });
    from = to;
  }
  return ranges;
}

/** The widest range from `from` on in which no run is larger than its part of the total. */
function similarUntil(runs: readonly RunSize[], from: number, limit: number): number | undefined {
  let total = 0;
  let largest = 0;
  let until: number | undefined;
  for (let at = from; at < limit; at++) {
    total += runs[at]!.bytes;
    largest = Math.max(largest, runs[at]!.bytes);
    if (at + 1 - from >= mergeRunsMin && largest <= total * largestPart) until = at + 1;
  }
  return until;
}

function cheapest(runs: readonly RunSize[], width: number): MergeRange {
  let best = 0;
  let bestTotal = Infinity;
  for (let from = 0; from + width <= runs.length; from++) {
    let total = 0;
    for (let at = from; at < from + width; at++) total += runs[at]!.bytes;
    if (total < bestTotal) {
      best = from;
      bestTotal = total;
    }
  }
  return { from: best, to: best + width };
}
