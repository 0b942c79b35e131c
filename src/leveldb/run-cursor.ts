import { assert } from "../lib/assert.ts";
import { type Bytes, compareBytes, emptyBytes } from "../lib/bytes.ts";
import { type RowBlock, RowPointer } from "./block.ts";
import type { Cursor } from "./cursor.ts";
import { isTombstoneRecord, valueOfRecord } from "./record.ts";
import type { Run } from "./run.ts";
import type { Table } from "./table.ts";

/**
 * A cursor over the keys of a run, each in its newest version at or below `sequence`. It keeps one block and no
 * statement or transaction, so it may stand for as long as it likes.
 */
export class RunCursor implements Cursor {
  readonly #run: Run;
  readonly #sequence: number;
  /** Where it stands: a part, a block of its file, a row in that. Invalid when the part is none. */
  #part = -1;
  #blockNumber = 0;
  #block: RowBlock | undefined;
  readonly #pointer = new RowPointer(emptyBytes);
  #key: Bytes | undefined;

  constructor(run: Run, sequence: number) {
    this.#run = run;
    this.#sequence = sequence;
  }

  get isValid(): boolean {
    return this.#block !== undefined;
  }

  get key(): Bytes {
    this.#checkValid();
    this.#key ??= this.#pointer.key();
    return this.#key;
  }

  isTombstone(): boolean {
    this.#checkValid();
    return this.#table().decoding(() => isTombstoneRecord(this.#pointer.record()));
  }

  value(): Bytes {
    this.#checkValid();
    const value = this.#table().decoding(() => valueOfRecord(this.#pointer.record()));
    assert(value !== undefined, "a tombstone has no value");
    return value;
  }

  next(): void {
    const key = this.key;
    do this.#stepForward();
    while (this.#block !== undefined && this.#pointer.compareKey(key) === 0);
    this.#settleForward();
  }

  prev(): void {
    this.seekBefore(this.key);
  }

  seekToFirst(): void {
    this.#enterPartForward(0);
    this.#settleForward();
  }

  seekToLast(): void {
    this.#enterPartBackward(this.#run.parts.length - 1);
    this.#settleBackward();
  }

  seek(target: Bytes): void {
    this.#seekRow(target);
    this.#settleForward();
  }

  seekAfter(target: Bytes): void {
    this.#seekRow(target);
    while (this.#block !== undefined && this.#pointer.compareKey(target) === 0) this.#stepForward();
    this.#settleForward();
  }

  seekBefore(target: Bytes): void {
    this.#seekRow(target);
    if (this.#block === undefined) this.#enterPartBackward(this.#run.parts.length - 1);
    else this.#stepBackward();
    this.#settleBackward();
  }

  /** Stands on a row: forward to the first version that is visible, of this key or a later one. */
  #settleForward(): void {
    while (this.#block !== undefined && this.#pointer.sequence > this.#sequence) this.#stepForward();
    this.#key = undefined;
  }

  /** Stands on the oldest version of a key: to the newest one of it that is visible, or of a key before. */
  #settleBackward(): void {
    while (this.#block !== undefined && this.#pointer.sequence > this.#sequence) this.#stepBackward();
    this.#key = undefined;
    if (this.#block === undefined) return;
    const key = this.key;
    for (;;) {
      const [part, blockNumber, row] = [this.#part, this.#blockNumber, this.#pointer.row];
      this.#stepBackward();
      if (
        this.#block !== undefined &&
        this.#pointer.compareKey(key) === 0 &&
        this.#pointer.sequence <= this.#sequence
      )
        continue;
      this.#part = part;
      this.#load(blockNumber, row);
      break;
    }
    this.#key = undefined;
  }

  /** To the first row whose key is at or after the target, whatever its sequence number. */
  #seekRow(target: Bytes): void {
    this.#key = undefined;
    const at = this.#run.partOf(target);
    const part = this.#run.parts[at];
    if (part === undefined) return this.#leave();
    const isCut = part.from !== undefined && compareBytes(target, part.from) < 0;
    this.#seekInPart(at, isCut ? part.from! : target);
  }

  /** To the first row at or after the target, in this part or the one after. */
  #seekInPart(at: number, target: Bytes): void {
    const { table } = this.#run.parts[at]!;
    this.#part = at;
    const blockNumber = table.blockOf(target);
    const block = table.rows(blockNumber, false);
    const row = table.lowerBound(block, this.#pointer, target);
    if (row < block.count) this.#load(blockNumber, row);
    else if (blockNumber + 1 < table.footer.dataBlocks) this.#load(blockNumber + 1, 0);
    else this.#enterPartForward(at + 1);
  }

  #stepForward(): void {
    this.#key = undefined;
    const block = this.#block!;
    const row = this.#pointer.row + 1;
    if (row < block.count) this.#table().load(this.#pointer, block, row);
    else if (this.#blockNumber + 1 < this.#table().footer.dataBlocks) this.#load(this.#blockNumber + 1, 0);
    else this.#enterPartForward(this.#part + 1);
  }

  #stepBackward(): void {
    this.#key = undefined;
    const row = this.#pointer.row - 1;
    if (row >= 0) this.#table().load(this.#pointer, this.#block!, row);
    else if (this.#blockNumber > 0) this.#loadLast(this.#blockNumber - 1);
    else return this.#enterPartBackward(this.#part - 1);
    const { from } = this.#run.parts[this.#part]!;
    if (from !== undefined && this.#pointer.compareKey(from) < 0) this.#enterPartBackward(this.#part - 1);
  }

  /** To the first row of a part that belongs to it. */
  #enterPartForward(at: number): void {
    const part = this.#run.parts[at];
    if (part === undefined) return this.#leave();
    if (part.from !== undefined) return this.#seekInPart(at, part.from);
    this.#part = at;
    this.#load(0, 0);
  }

  #enterPartBackward(at: number): void {
    const part = this.#run.parts[at];
    if (part === undefined) return this.#leave();
    this.#part = at;
    this.#loadLast(part.table.footer.dataBlocks - 1);
  }

  #load(blockNumber: number, row: number): void {
    const table = this.#table();
    const block = table.rows(blockNumber, false);
    this.#blockNumber = blockNumber;
    this.#block = block;
    table.load(this.#pointer, block, row);
  }

  #loadLast(blockNumber: number): void {
    const block = this.#table().rows(blockNumber, false);
    this.#blockNumber = blockNumber;
    this.#block = block;
    this.#table().load(this.#pointer, block, block.count - 1);
  }

  #leave(): void {
    this.#part = -1;
    this.#block = undefined;
  }

  #table(): Table {
    return this.#run.parts[this.#part]!.table;
  }

  #checkValid(): void {
    assert(this.#block !== undefined, "the cursor is on a key");
  }
}
