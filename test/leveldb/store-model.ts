import type { KeyRecord } from "../../src/leveldb/level-db.ts";
import type { MergingIterator } from "../../src/leveldb/merging-iterator.ts";
import { type Bytes, compareBytes, toHex } from "../../src/lib/bytes.ts";

interface Change {
  readonly place: number;
  readonly sequence: number;
  /** Undefined for a deletion. */
  readonly value: Bytes | undefined;
}

/** The dumb twin: every change ever made. A view of it is how many of them it sees. */
export class StoreModel {
  readonly #keys = new Map<string, { key: Bytes; changes: Change[] }>();
  readonly #sequences: number[] = [];

  get length(): number {
    return this.#sequences.length;
  }

  add(key: Bytes, sequence: number, value: Bytes | undefined): void {
    const name = toHex(key);
    const known = this.#keys.get(name) ?? { key: key.slice(), changes: [] };
    this.#keys.set(name, known);
    known.changes.push({ place: this.length, sequence, value: value?.slice() });
    this.#sequences.push(sequence);
  }

  /** Forgets all but the first `length` changes. */
  truncate(length: number): void {
    this.#sequences.length = length;
    for (const known of this.#keys.values())
      known.changes = known.changes.filter((change) => change.place < length);
  }

  /** The sequence number of the last of the first `length` changes. */
  sequence(length = this.length): number {
    return this.#sequences[length - 1] ?? 0;
  }

  /** How much of it was there at a sequence number. */
  lengthAt(sequence: number): number {
    let length = this.length;
    while (length > 0 && this.#sequences[length - 1]! > sequence) length--;
    return length;
  }

  record(view: number, key: Bytes): KeyRecord | undefined {
    let record: KeyRecord | undefined;
    for (const { place, sequence, value } of this.#keys.get(toHex(key))?.changes ?? []) {
      if (place >= view) break;
      if (value === undefined) {
        record = undefined;
        continue;
      }
      const count = (record?.count ?? 0) + (record?.modified === sequence ? 0 : 1);
      record = { value, created: record?.created ?? sequence, modified: sequence, count };
    }
    return record;
  }

  /** All live keys with what is known of them, in order. */
  state(view = this.length): [Bytes, KeyRecord][] {
    const live: [Bytes, KeyRecord][] = [];
    for (const { key } of this.#keys.values()) {
      const record = this.record(view, key);
      if (record !== undefined) live.push([key, record]);
    }
    return live.sort((a, b) => compareBytes(a[0], b[0]));
  }
}

/** The pairs of a view in one line, for comparisons that are quick and a message that can be read. */
export function describeState(model: StoreModel, view?: number): string {
  return describePairs(model.state(view).map(([key, { value }]) => [key, value]));
}

/** The pairs from the first to the last in the same way; closes the iterator. */
export function describeIterator(iterator: MergingIterator): string {
  const pairs: [Bytes, Bytes][] = [];
  for (iterator.seekToFirst(); iterator.valid(); iterator.next())
    pairs.push([iterator.key(), iterator.value()]);
  iterator.close();
  return describePairs(pairs);
}

function describePairs(pairs: readonly [Bytes, Bytes][]): string {
  return pairs.map(([key, value]) => `${describeBytes(key)}=${describeBytes(value)}`).join(" ");
}

function describeBytes(bytes: Bytes): string {
  const shown = Buffer.from(bytes.subarray(0, 40)).toString("latin1");
  return bytes.length <= 40 ? shown : `${shown}...(${bytes.length} bytes, ${Bun.hash(bytes).toString(36)})`;
}
