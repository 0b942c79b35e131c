import type { Store, StoredRecord } from "../../src/kv/store.ts";
import { type Bytes, compareBytes, fromHex, toHex } from "../../src/lib/bytes.ts";

/** A store as dumb as can be, which remembers what it held at its last flush. */
export class MapStore implements Store {
  #records: Map<string, StoredRecord>;
  #flushed: ReadonlyMap<string, StoredRecord> = new Map();

  constructor(records: ReadonlyMap<string, StoredRecord> = new Map()) {
    this.#records = new Map(records);
    this.#flushed = new Map(records);
  }

  flush(): void {
    this.#flushed = new Map(this.#records);
  }

  /** What is there after a crash. */
  crash(): MapStore {
    return new MapStore(this.#flushed);
  }

  get(key: Bytes): Bytes | undefined {
    return this.getRecord(key)?.value;
  }

  getRecord(key: Bytes): StoredRecord | undefined {
    return this.#records.get(toHex(key));
  }

  put(key: Bytes, value: Bytes, sequence: number): void {
    const before = this.getRecord(key);
    this.#records.set(toHex(key), {
      value: value.slice(),
      created: before?.created ?? sequence,
      modified: sequence,
      count: (before?.count ?? 0) + 1,
    });
  }

  delete(key: Bytes): void {
    this.#records.delete(toHex(key));
  }

  newIterator(): ReturnType<Store["newIterator"]> {
    const records = this.#records;
    const keys = [...records.keys()].map((key) => fromHex(key)!).sort(compareBytes);
    let at = keys.length;
    return {
      valid: () => at < keys.length,
      seek(target) {
        at = keys.findIndex((key) => compareBytes(key, target) >= 0);
        if (at < 0) at = keys.length;
      },
      next: () => void at++,
      key: () => keys[at]!,
      value: () => records.get(toHex(keys[at]!))!.value,
      close() {},
    };
  }

  /** All of it, as text, to compare. */
  dump(): string {
    return [...this.#records.entries()]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, { value }]) => `${key}=${toHex(value)}`)
      .join("\n");
  }
}
