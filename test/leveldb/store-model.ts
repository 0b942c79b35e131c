import type { KeyRecord } from "../../src/leveldb/level-db.ts";
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
