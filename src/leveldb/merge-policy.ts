/** Runs [from, to) of the list, newest first. */
export interface MergeRange {
  readonly from: number;
  readonly to: number;
}

/** Merging fewer would write rows again too often. */
const mergeRunsMin = 4;

/**
 * Which adjacent runs to merge next, given their sizes in bytes, newest first; undefined for none.
 *
 * Runs are merged by size: at least four, none larger than a third of their total. So a row is written again only
 * into a run at least three times as large as the one it was in: about log3(store / memtable) times in its life. Small runs
 * in between never stand in the way. When there are still more than `runsMax`, the cheapest merge that gets
 * down to it is next.
 */
export function pickMerge(sizes: readonly number[], runsMax: number): MergeRange | undefined {
  for (let from = 0; from + mergeRunsMin <= sizes.length; from++) {
    const to = similarUntil(sizes, from);
    if (to !== undefined) return { from, to };
  }
  if (sizes.length <= runsMax) return undefined;
  return cheapest(sizes, Math.max(2, sizes.length - runsMax + 1));
}

/** The widest range from `from` on in which no run is larger than a third of the total. */
function similarUntil(sizes: readonly number[], from: number): number | undefined {
  let total = 0;
  let largest = 0;
  let until: number | undefined;
  for (let at = from; at < sizes.length; at++) {
    total += sizes[at]!;
    largest = Math.max(largest, sizes[at]!);
    if (at + 1 - from >= mergeRunsMin && largest * 3 <= total) until = at + 1;
  }
  return until;
}

function cheapest(sizes: readonly number[], width: number): MergeRange {
  let best = 0;
  let bestTotal = Infinity;
  for (let from = 0; from + width <= sizes.length; from++) {
    let total = 0;
    for (let at = from; at < from + width; at++) total += sizes[at]!;
    if (total < bestTotal) {
      best = from;
      bestTotal = total;
    }
  }
  return { from: best, to: best + width };
}
