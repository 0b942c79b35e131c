/**
 * Merging sorted sources: of each key the newest version stays, and what reads of the past may see; what is dropped
 * lives on in the counts of what is kept. Logic over sources and a sink, without a thread or a disk of its own.
 */
import { type Bytes, concatBytes, copyRange } from "../lib/bytes.ts";
import { DecodeError } from "../lib/codec.ts";
import { headOf } from "./key-head.ts";
import {
  completeInPlace,
  decodeRecord,
  encodeRecord,
  foldLife,
  isCompleteAt,
  isTombstoneAt,
  type StoredRecord,
} from "./record.ts";
import type { RowSource } from "./row-source.ts";

/** Takes the merged rows: see TableWriter.add. */
export interface RowSink {
  add(bytes: Bytes, keyStart: number, keyEnd: number, recordEnd: number, sequence: number): void;
}

export interface MergeRules {
  /** No older layer exists: tombstones with nothing below them go, and counts become absolute. */
  readonly isBottom: boolean;
  /** Reads at this sequence number and above see what was there. Infinity when only the present is read. */
  readonly historyFloor: number;
}

/**
 * A source with its place in the order of layers, and the first bytes of its key as numbers, which decide most
 * comparisons.
 */
class Head {
  readonly source: RowSource;
  /** 0 is the newest layer. */
  readonly layer: number;
  high = 0;
  low = 0;

  constructor(source: RowSource, layer: number) {
    this.source = source;
    this.layer = layer;
    if (source.isValid) this.note();
  }

  /** Requires a valid source. */
  note(): void {
    const { bytes, keyStart, keyEnd } = this.source;
    this.high = headOf(bytes, keyStart, keyEnd);
    this.low = headOf(bytes, keyStart + 4, keyEnd);
  }
}

/** A version of the key at hand. */
interface Version extends StoredRecord {
  readonly sequence: number;
  readonly layer: number;
}

/** One merge of sources, newest layer first, that goes on key by key. */
export class Merge {
  readonly #rules: MergeRules;
  /** For rows that are changed on the way: the sink copies what it takes. */
  #scratch = new Uint8Array(1024);
  /** A binary heap: the smallest key first, and of one key the newest layer. */
  readonly #heap: Head[] = [];

  constructor(newestFirst: readonly RowSource[], rules: MergeRules) {
    this.#rules = rules;
    for (const [layer, source] of newestFirst.entries())
      if (source.isValid) this.#heap.push(new Head(source, layer));
    for (let at = (this.#heap.length >> 1) - 1; at >= 0; at--) this.#sink(at);
  }

  get isDone(): boolean {
    return this.#heap.length === 0;
  }

  /** A copy of the key that comes next; undefined when it is done. */
  nextKey(): Bytes | undefined {
    const source = this.#heap[0]?.source;
    return source?.bytes.slice(source.keyStart, source.keyEnd);
  }

  /**
   * Moves all versions of the next key on, and returns how many there were. Throws DecodeError for a record that is
   * none. Requires that it is not done.
   */
  step(sink: RowSink): number {
    const heap = this.#heap;
    const head = heap[0]!;
    const { bytes, keyStart, keyEnd, recordEnd, sequence } = head.source;
    const { high, low } = head;
    this.#advanceFirst();
    const next = heap[0];
    if (
      next === undefined ||
      next.high !== high ||
      next.low !== low ||
      !isSameKey(next, bytes, keyStart, keyEnd)
    ) {
      this.#addSingle(sink, bytes, keyStart, keyEnd, recordEnd, sequence);
      return 1;
    }
    return this.#addVersions(
      sink,
      bytes.subarray(keyStart, keyEnd),
      bytes.subarray(keyEnd, recordEnd),
      sequence,
      head.layer,
    );
  }

  /** The common case: one version of the key, passed on as it is. */
  #addSingle(
    sink: RowSink,
    bytes: Bytes,
    keyStart: number,
    keyEnd: number,
    recordEnd: number,
    sequence: number,
  ): void {
    if (!this.#rules.isBottom) return sink.add(bytes, keyStart, keyEnd, recordEnd, sequence);
    if (isTombstoneAt(bytes, keyEnd)) return;
    if (isCompleteAt(bytes, keyEnd)) return sink.add(bytes, keyStart, keyEnd, recordEnd, sequence);
    const length = recordEnd - keyStart;
    if (length > this.#scratch.length) this.#scratch = new Uint8Array(2 * length);
    copyRange(bytes, keyStart, recordEnd, this.#scratch, 0);
    completeInPlace(this.#scratch, keyEnd - keyStart);
    sink.add(this.#scratch, 0, keyEnd - keyStart, length, sequence);
  }

  #addVersions(sink: RowSink, key: Bytes, record: Bytes, sequence: number, layer: number): number {
    const versions: Version[] = [{ ...decodeRecord(record), sequence, layer }];
    for (let head = this.#heap[0]; head !== undefined; head = this.#heap[0]) {
      const { bytes, keyEnd, recordEnd } = head.source;
      if (!isSameKey(head, key, 0, key.length)) break;
      const decoded = decodeRecord(bytes.subarray(keyEnd, recordEnd));
      versions.push({ ...decoded, sequence: head.source.sequence, layer: head.layer });
      this.#advanceFirst();
    }
    const { isBottom, historyFloor } = this.#rules;
    foldLayers(versions, isBottom);
    const chosen = chooseVersions(versions, historyFloor);
    while (isBottom && chosen[chosen.length - 1]?.isTombstone) chosen.pop();
    for (const version of chosen) {
      const row = concatBytes([key, encodeRecord(version)]);
      sink.add(row, 0, key.length, row.length, version.sequence);
    }
    return versions.length;
  }

  #advanceFirst(): void {
    const heap = this.#heap;
    const head = heap[0]!;
    head.source.advance();
    if (head.source.isValid) head.note();
    else {
      const last = heap.pop()!;
      if (heap.length === 0) return;
      heap[0] = last;
    }
    this.#sink(0);
  }

  #sink(from: number): void {
    const heap = this.#heap;
    const head = heap[from]!;
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, head)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = head;
  }
}

function isBefore(a: Head, b: Head): boolean {
  if (a.high !== b.high) return a.high < b.high;
  if (a.low !== b.low) return a.low < b.low;
  const order = compareKeys(a.source, b.source);
  return order === 0 ? a.layer < b.layer : order < 0;
}

function compareKeys(a: RowSource, b: RowSource): number {
  const [aBytes, bBytes, aStart, bStart] = [a.bytes, b.bytes, a.keyStart, b.keyStart];
  const aLength = a.keyEnd - aStart;
  const bLength = b.keyEnd - bStart;
  const limit = Math.min(aLength, bLength);
  for (let at = 0; at < limit; at++) {
    const difference = aBytes[aStart + at]! - bBytes[bStart + at]!;
    if (difference !== 0) return difference;
  }
  return aLength - bLength;
}

function isSameKey({ source }: Head, bytes: Bytes, keyStart: number, keyEnd: number): boolean {
  const length = keyEnd - keyStart;
  if (source.keyEnd - source.keyStart !== length) return false;
  const other = source.bytes;
  const otherStart = source.keyStart;
  for (let at = length - 1; at >= 0; at--) if (other[otherStart + at] !== bytes[keyStart + at]) return false;
  return true;
}

/**
 * Oldest layer first: each version takes in the newest of the layers below. In one layer that has been done
 * before.
 */
function foldLayers(versions: Version[], isBottom: boolean): void {
  let below: Version | undefined;
  for (let end = versions.length; end > 0; ) {
    const { layer } = versions[end - 1]!;
    let start = end - 1;
    while (start > 0 && versions[start - 1]!.layer === layer) start--;
    for (let at = start; at < end; at++)
      if (below !== undefined || isBottom)
        versions[at] = { ...versions[at]!, ...foldLife(versions[at]!, below) };
    below = versions[start];
    end = start;
  }
}

/** Versions come newest first; layers may repeat a sequence number, and then the first one counts. */
function chooseVersions(versions: readonly Version[], historyFloor: number): Version[] {
  const chosen: Version[] = [];
  let previous: number | undefined;
  for (const version of versions) {
    if (previous !== undefined && version.sequence > previous)
      throw new DecodeError("an older layer holds a newer version of a key");
    // What a newer version hides at the floor and above is seen by nobody.
    const isSeen = previous === undefined || (version.sequence < previous && previous > historyFloor);
    previous = version.sequence;
    if (isSeen) chosen.push(version);
  }
  return chosen;
}
