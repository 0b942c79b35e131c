import { type Bytes, compareBytes } from "../lib/bytes.ts";
import type { RunState } from "./manifest.ts";
import type { StoredVersion, Table } from "./table.ts";

/** An open file of a run. Keys below `from` are not its business any more: a merge has moved them. */
export interface OpenPart {
  readonly table: Table;
  readonly from: Bytes | undefined;
}

/** A sorted run as readers see it: open files whose ranges of keys follow each other. */
export class Run {
  readonly id: number;
  readonly parts: readonly OpenPart[];

  constructor(state: RunState, tableOf: (number: number) => Table) {
    this.id = state.id;
    this.parts = state.parts.map(({ file, from }) => ({ table: tableOf(file.number), from }));
  }

  /** The newest version of the key at or below `sequence`. `hash` is the key's. */
  get(key: Bytes, hash: number, sequence: number): StoredVersion | undefined {
    const part = this.parts[this.partOf(key)];
    if (part === undefined) return undefined;
    const { table, from } = part;
    if (compareBytes(key, table.file.smallest) < 0 || !table.mayContain(hash)) return undefined;
    if (from !== undefined && compareBytes(key, from) < 0) return undefined;
    return table.get(key, sequence);
  }

  /** The first part whose largest key is at or after the key; the number of parts when there is none. */
  partOf(key: Bytes): number {
    let from = 0;
    let to = this.parts.length;
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (compareBytes(this.parts[middle]!.table.file.largest, key) < 0) from = middle + 1;
      else to = middle;
    }
    return from;
  }
}
