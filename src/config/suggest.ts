/** The candidate that `word` is most likely a slip of the pen for, or undefined when none is near. */
export function suggest(word: string, candidates: Iterable<string>): string | undefined {
  const wordFolded = fold(word);
  let best: string | undefined;
  let bestDistance = Math.floor(Math.max(wordFolded.length, 3) / 3) + 1;
  for (const candidate of candidates) {
    const candidateFolded = fold(candidate);
    const isPrefix = wordFolded.length >= 3 && candidateFolded.startsWith(wordFolded);
    const distance = isPrefix ? 1 : editDistance(wordFolded, candidateFolded);
    if (distance < bestDistance && distance < candidateFolded.length)
      [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** Upper case, `-` and `_` make no difference: `data_dir` is near `dataDir`. */
function fold(word: string): string {
  return word.toLowerCase().replaceAll(/[-_]/g, "").slice(0, 64);
}

/** Insertions, removals, replacements and swaps of neighbours that lead from one word to the other. */
function editDistance(a: string, b: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const cost = a[row - 1] === b[column - 1] ? 0 : 1;
      let least = Math.min(previous[column]! + 1, current[column - 1]! + 1, previous[column - 1]! + cost);
      const isSwap = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (isSwap) least = Math.min(least, beforePrevious[column - 2]! + 1);
      current.push(least);
    }
    [beforePrevious, previous] = [previous, current];
  }
  return previous[b.length]!;
}
