import { type Bytes, emptyBytes } from "../lib/bytes.ts";
import { chunkTextsMax, mergeChunks } from "./sorted-chunks.ts";

/**
 * One version of a key in a memtable. Its `created` and `count` include every older version of the key in the same
 * memtable, whether or not that one is still there.
 */
export class Version {
  sequence = 0;
  stamp = 0;
  created = 0;
  count = 0;
  isComplete = false;
  isTombstone = false;
  /** Where the encoded record lies: a header, then the value. */
  chunk: Bytes = emptyBytes;
  offset = 0;
  headerLength = 0;
  length = 0;
  older: Version | undefined = undefined;

  /** A view of memory that never changes, as `record`. */
  value(): Bytes {
    return this.chunk.subarray(this.offset + this.headerLength, this.offset + this.length);
  }

  record(): Bytes {
    return this.chunk.subarray(this.offset, this.offset + this.length);
  }
}

/**
 * A key with its versions: the entry is the newest one itself, and changes in place at a write; `older` starts the
 * chain of those that views still need.
 */
export class Entry extends Version {
  readonly text: string;

  constructor(text: string) {
    super();
    this.text = text;
  }

  /** Whether no version was written to it yet. */
  get isNew(): boolean {
    return this.stamp === 0;
  }

  /** The newest version stamped at or before `stamp`. */
  visible(stamp: number): Version | undefined {
    let version: Version | undefined = this;
    while (version !== undefined && version.stamp > stamp) version = version.older;
    return version;
  }

  /** Moves the newest version into the chain; the entry is about to become a newer one. */
  setAside(): void {
    const version = new Version();
    version.sequence = this.sequence;
    version.stamp = this.stamp;
    version.created = this.created;
    version.count = this.count;
    version.isComplete = this.isComplete;
    version.isTombstone = this.isTombstone;
    version.chunk = this.chunk;
    version.offset = this.offset;
    version.headerLength = this.headerLength;
    version.length = this.length;
    version.older = this.older;
    this.older = version;
  }

  /**
   * Drops the versions of the chain that no pinned view sees. `pins` ascend; the entry itself is about to get a stamp
   * above all of them.
   */
  dropUnseen(pins: readonly number[]): void {
    let kept: Version = this;
    let stampOfNewer = Infinity;
    let pin = pins.length - 1;
    for (let version = this.older; version !== undefined; version = version.older) {
      while (pin >= 0 && pins[pin]! >= stampOfNewer) pin--;
      if (pin >= 0 && pins[pin]! >= version.stamp) {
        kept.older = version;
        kept = version;
      }
      stampOfNewer = version.stamp;
    }
    kept.older = undefined;
  }
}

/** The entries of a memtable in key order, made when somebody asks, out of what was sorted before and what is new. */
export class EntryOrder {
  /** Ascending; grows in place. */
  readonly entries: Entry[] = [];
  /** Counts the changes of `entries`: a place that was remembered is good for one epoch. */
  epoch = 0;
  #added: string[] = [];
  /** Parts of what was added that `sortSome` has sorted. */
  #chunks: string[][] = [];

  add(text: string): void {
    this.#added.push(text);
  }

  /** Sorts some of what was added, for `texts`. Returns whether there is more. */
  sortSome(): boolean {
    const chunk = this.#added.splice(-chunkTextsMax);
    if (chunk.length > 0) this.#chunks.push(chunk.sort());
    return this.#added.length > 0;
  }

  /** All keys in order, without a long stop for sorting when `sortSome` came first. Requires that nothing is added. */
  texts(): IterableIterator<string> {
    while (this.sortSome());
    // Copied, since a cursor may ask for `sort` meanwhile.
    const sorted = this.entries.map((entry) => entry.text);
    return mergeChunks([sorted, ...this.#chunks]);
  }

  /** Brings what was added into order. Native string sort is five times as fast as one with a comparator. */
  sort(entryOf: (text: string) => Entry): void {
    const added = this.#chunks.length === 0 ? this.#added : [...this.#chunks.flat(), ...this.#added];
    if (added.length === 0) return;
    this.#added = [];
    this.#chunks = [];
    added.sort();
    this.epoch++;
    // From the largest down, each added entry pushes what is larger to its final place: every entry moves once.
    const entries = this.entries;
    let end = entries.length;
    const placeholder = entryOf(added[0]!);
    while (entries.length < end + added.length) entries.push(placeholder);
    for (let rest = added.length; rest > 0; rest--) {
      const text = added[rest - 1]!;
      const place = this.#search(text, end);
      for (let from = end - 1; from >= place; from--) entries[from + rest] = entries[from]!;
      entries[place + rest - 1] = entryOf(text);
      end = place;
    }
  }

  /** The first place whose key is at or after `text`. */
  placeOf(text: string): number {
    return this.#search(text, this.entries.length);
  }

  #search(text: string, end: number): number {
    let low = 0;
    let high = end;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.entries[middle]!.text < text) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
