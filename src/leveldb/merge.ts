/**
 * Merging sorted runs: many streams of rows become one, each key keeps the versions that somebody may read, and what
 * is dropped lives on in the counts of what is kept. A pure function over streams: it runs wherever they do.
 */
import type { Row } from "../env/tables.ts";
import { compareBytes, equalBytes } from "../lib/bytes.ts";
import { DecodeError } from "../lib/codec.ts";
import {
  completedRecord,
  decodeRecord,
  encodeRecord,
  foldLife,
  isCompleteRecord,
  isTombstoneRecord,
  type StoredRecord,
} from "./record.ts";

/** A version of the key at hand. */
interface Decoded extends StoredRecord {
  readonly sequence: number;
}

/**
 * The rows of `inputs` (newest layer first, adjacent layers of one store) in order. Of each key it keeps the newest
 * version, and the newest at or below each sequence number of `kept` (ascending). At one sequence number the newest
 * layer wins. `isBottom` says that no older layer exists: then tombstones with nothing below them go, and counts
 * become absolute. Throws DecodeError for a record that is none.
 *
 * A key that goes yields undefined: between two yields there is one key's work, so that the caller can pause.
 */
export function* mergeRows(
  inputs: readonly Iterable<Row>[],
  kept: readonly number[],
  isBottom: boolean,
): IterableIterator<Row | undefined> {
  const streams = inputs.map((input) => new Stream(input));
  const versions: Row[] = [];
  /** layerEnds[i] is where the versions of the i-th layer that has the key end. */
  const layerEnds: number[] = [];
  for (;;) {
    const first = smallest(streams);
    if (first === undefined) return;
    versions.length = 0;
    layerEnds.length = 0;
    for (const stream of streams) {
      const before = versions.length;
      while (stream.head !== undefined && equalBytes(stream.head.key, first.key)) {
        versions.push(stream.head);
        stream.advance();
      }
      if (versions.length > before) layerEnds.push(versions.length);
    }
    if (versions.length === 1) {
      yield isBottom ? settledAtBottom(first) : first;
      continue;
    }
    const merged = mergeVersions(versions, layerEnds, kept, isBottom);
    if (merged.length === 0) yield undefined;
    else yield* merged;
  }
}

/** The common case: one version of the key, often passed on as it is. */
function settledAtBottom(row: Row): Row | undefined {
  if (isTombstoneRecord(row.record)) return undefined;
  if (isCompleteRecord(row.record)) return row;
  return { key: row.key, sequence: row.sequence, record: completedRecord(row.record) };
}

function mergeVersions(
  rows: readonly Row[],
  layerEnds: readonly number[],
  kept: readonly number[],
  isBottom: boolean,
): Row[] {
  const decoded = rows.map((row): Decoded => ({ ...decodeRecord(row.record), sequence: row.sequence }));
  foldLayers(decoded, layerEnds, isBottom);
  const chosen = chooseVersions(decoded, kept);
  while (isBottom && chosen[chosen.length - 1]?.isTombstone) chosen.pop();
  const key = rows[0]!.key;
  return chosen.map((version) => ({ key, sequence: version.sequence, record: encodeRecord(version) }));
}

/** Oldest layer first: each version takes in the newest of the layers below. In one layer that has been done before. */
function foldLayers(versions: Decoded[], layerEnds: readonly number[], isBottom: boolean): void {
  let below: Decoded | undefined;
  for (let layer = layerEnds.length - 1; layer >= 0; layer--) {
    const start = layer === 0 ? 0 : layerEnds[layer - 1]!;
    for (let at = start; at < layerEnds[layer]!; at++) {
      const version = versions[at]!;
      if (below !== undefined || isBottom) versions[at] = { ...version, ...foldLife(version, below) };
    }
    below = versions[start];
  }
}

/** Versions come newest first; layers may repeat a sequence number, and then the first one counts. */
function chooseVersions(versions: readonly Decoded[], kept: readonly number[]): Decoded[] {
  const chosen: Decoded[] = [];
  let next = kept.length - 1;
  let previous: number | undefined;
  for (const version of versions) {
    if (previous !== undefined && version.sequence > previous)
      throw new DecodeError("an older layer holds a newer version of a key");
    const isRepeated = version.sequence === previous;
    previous = version.sequence;
    if (isRepeated) continue;
    const isSeen = next >= 0 && kept[next]! >= version.sequence;
    if (chosen.length === 0 || isSeen) chosen.push(version);
    while (next >= 0 && kept[next]! >= version.sequence) next--;
  }
  return chosen;
}

/** One input, looked at one row ahead. */
class Stream {
  readonly #rows: Iterator<Row>;
  head: Row | undefined;

  constructor(rows: Iterable<Row>) {
    this.#rows = rows[Symbol.iterator]();
    this.advance();
  }

  advance(): void {
    const step = this.#rows.next();
    this.head = step.done === true ? undefined : step.value;
  }
}

/** The first row in key order; of equal keys that of the newest layer. */
function smallest(streams: readonly Stream[]): Row | undefined {
  let first: Row | undefined;
  for (const { head } of streams)
    if (head !== undefined && (first === undefined || compareBytes(head.key, first.key) < 0)) first = head;
  return first;
}
