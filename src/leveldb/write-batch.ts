import { type Bytes, emptyBytes } from "../lib/bytes.ts";

export type Operation =
  | { readonly kind: "put"; readonly key: Bytes; readonly value: Bytes }
  | { readonly kind: "delete"; readonly key: Bytes };

/** What one operation costs beside its bytes, as LevelDB estimates it: a kind and two lengths. */
const operationOverheadBytes = 3;

/**
 * Operations that are applied together, in order, at one sequence number. Keys and values are referenced, not copied:
 * the caller leaves them alone until the batch is written.
 */
export class WriteBatch {
  #operations: Operation[] = [];
  #approximateSize = 0;

  get count(): number {
    return this.#operations.length;
  }

  /** About as many bytes as the operations hold. */
  get approximateSize(): number {
    return this.#approximateSize;
  }

  put(key: Bytes, value: Bytes): void {
    this.#add({ kind: "put", key, value });
  }

  delete(key: Bytes): void {
    this.#add({ kind: "delete", key });
  }

  clear(): void {
    this.#operations = [];
    this.#approximateSize = 0;
  }

  /** Adds the operations of `other` behind these; a batch may be appended to itself. */
  append(other: WriteBatch): void {
    for (const operation of [...other.#operations]) this.#add(operation);
  }

  operations(): readonly Operation[] {
    return this.#operations;
  }

  #add(operation: Operation): void {
    const value = operation.kind === "put" ? operation.value : emptyBytes;
    this.#operations.push(operation);
    this.#approximateSize += operationOverheadBytes + operation.key.length + value.length;
  }
}
