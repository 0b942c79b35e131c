import type { Table as TableBlocks, Tables } from "../env/tables.ts";
import { type Bytes, compareBytes, emptyBytes, equalBytes } from "../lib/bytes.ts";
import { crc32 } from "../lib/checksum.ts";
import { DecodeError, readU32 } from "../lib/codec.ts";
import { KvraftError } from "../lib/error.ts";
import { type Finding, problemOf } from "../lib/examination.ts";
import { checkBlock, checksumBytes, RowBlock, RowPointer } from "./block.ts";
import { BlockIndex, sharedBytesOf } from "./block-index.ts";
import { mayContain } from "./bloom-filter.ts";
import { hashRange } from "./key-hash.ts";
import type { TableFile } from "./manifest.ts";
import { decodeRecord } from "./record.ts";
import { keyForPeople } from "./table.ts";
import { chainSeed, decodeFooter, metaBlocks, type TableFooter } from "./table-footer.ts";

/** Blocks between two yields: about a millisecond. */
const blocksPerStep = 64;

/** A finding in a file that is known. */
type Place = Pick<Finding, "block" | "lastBlock" | "key">;

/** Of rows that are wrong in the same way: one finding, however many there are. */
interface RowProblem {
  count: number;
  readonly place: Place;
  readonly found: string;
  readonly wanted: string;
}

/**
 * Looks at every block and every row of a run's file, whatever is wrong with those before. Yields how many blocks it
 * has looked at.
 */
export function* checkTable(
  tables: Tables,
  path: string,
  file: TableFile,
  sequenceMax: number,
  findings: Finding[],
): Generator<number> {
  const check = new TableCheck(path, file, sequenceMax, findings);
  yield* check.run(tables);
}

class TableCheck {
  readonly #path: string;
  readonly #file: TableFile;
  readonly #sequenceMax: number;
  readonly #findings: Finding[];
  #blocks: TableBlocks | undefined;
  /** Neighbouring blocks that are wrong in the same way, until another one comes. */
  #bad: { from: number; to: number; code: Finding["code"]; found: string } | undefined;
  #badBlocks = 0;
  readonly #problems = new Map<string, RowProblem>();
  readonly #pointer = new RowPointer(emptyBytes);
  #filter: Bytes | undefined;
  #index: BlockIndex | undefined;
  #chain = chainSeed;
  /** What the rows come to. */
  #rows = 0;
  #keys = 0;
  #contentBytes = 0;
  #sequenceLow = Number.MAX_SAFE_INTEGER;
  #sequenceHigh = 0;
  #smallest: Bytes | undefined;
  #last: Bytes | undefined;
  #lastSequence = 0;

  constructor(path: string, file: TableFile, sequenceMax: number, findings: Finding[]) {
    this.#path = path;
    this.#file = file;
    this.#sequenceMax = sequenceMax;
    this.#findings = findings;
  }

  *run(tables: Tables): Generator<number> {
    try {
      this.#blocks = tables.open(this.#path);
      yield* this.#run();
    } catch (error) {
      if (!(error instanceof KvraftError)) throw error;
      this.#find({}, problemOf(error), "a file that can be opened", error.code);
    } finally {
      this.#blocks?.close();
    }
  }

  *#run(): Generator<number> {
    const dataBlocks = this.#file.blocks - metaBlocks;
    const [filter, index, footer] = [0, 1, 2].map((at) => this.#block(dataBlocks + at));
    this.#endBad();
    const decoded = this.#footer(footer);
    this.#filter = filter && payloadOf(filter);
    this.#index = index && this.#decodeIndex(payloadOf(index));
    for (let number = 0; number < dataBlocks; number++) {
      const block = this.#block(number);
      if (block !== undefined) this.#blockOfRows(number, block);
      if (number % blocksPerStep === blocksPerStep - 1) yield number + 1;
    }
    this.#endBad();
    for (const block of [filter, index]) this.#link(block);
    this.#tellProblems();
    if (this.#badBlocks === 0 && decoded !== undefined) this.#compareFooter(decoded);
    yield this.#file.blocks;
  }

  // ---- blocks ----

  /** A block, with its checksum; a finding when it is not what was written there. */
  #block(number: number): Bytes | undefined {
    try {
      const bytes = this.#blocks!.block(number);
      checkBlock(bytes, this.#file.number, number);
      return bytes;
    } catch (error) {
      if (error instanceof DecodeError) this.#badBlock(number, error.message, "CORRUPTION");
      else if (error instanceof KvraftError) this.#badBlock(number, problemOf(error), error.code);
      else throw error;
      return undefined;
    }
  }

  #badBlock(number: number, what: string, code: Finding["code"]): void {
    const found = what.replace(` of block ${number}`, "").replace(`block ${number} `, "it ");
    this.#badBlocks++;
    const bad = this.#bad;
    if (bad !== undefined && bad.to === number - 1 && bad.found === found) bad.to = number;
    else {
      this.#endBad();
      this.#bad = { from: number, to: number, code, found };
    }
  }

  #endBad(): void {
    if (this.#bad === undefined) return;
    const { from, to, code, found } = this.#bad;
    this.#bad = undefined;
    const place = from === to ? { block: from } : { block: from, lastBlock: to };
    this.#find(place, found, "what was written there", code);
  }

  #link(block: Bytes | undefined): void {
    if (block !== undefined) this.#chain = crc32(block.subarray(block.length - checksumBytes), this.#chain);
  }

  #decodeIndex(payload: Bytes): BlockIndex | undefined {
    const { smallest, largest, blocks } = this.#file;
    const dataBlocks = blocks - metaBlocks;
    const place = { block: dataBlocks + 1 };
    try {
      const index = new BlockIndex(payload, sharedBytesOf(smallest, largest));
      if (index.blocks === dataBlocks) return index;
      this.#find(place, `an index of ${index.blocks} blocks`, `one of ${dataBlocks}`);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#find(place, error.message, "an index of the blocks");
    }
    return undefined;
  }

  /** The last block, compared with what MANIFEST says of the file. */
  #footer(block: Bytes | undefined): TableFooter | undefined {
    if (block === undefined) return undefined;
    const { blocks, checksum, rows, smallest, largest } = this.#file;
    const place = { block: blocks - 1 };
    const found = readU32(block, block.length - checksumBytes);
    if (found !== checksum)
      this.#find(
        place,
        `a footer with the checksum ${found}`,
        `the one that MANIFEST names, with ${checksum}`,
      );
    try {
      const footer = decodeFooter(payloadOf(block));
      const isSame =
        footer.rows === rows &&
        footer.dataBlocks === blocks - metaBlocks &&
        equalBytes(footer.smallest, smallest) &&
        equalBytes(footer.largest, largest);
      if (!isSame)
        this.#find(
          place,
          `a footer of ${footer.rows} rows in ${footer.dataBlocks} blocks, from ${rangeOf(footer)}`,
          `${rows} rows in ${blocks - metaBlocks} blocks, from ${rangeOf(this.#file)}, as MANIFEST says`,
        );
      return footer;
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#find(place, error.message, "a footer");
      return undefined;
    }
  }

  // ---- rows ----

  #blockOfRows(number: number, bytes: Bytes): void {
    this.#link(bytes);
    try {
      const block = new RowBlock(bytes);
      for (let row = 0; row < block.count; row++) {
        this.#pointer.load(block, row);
        this.#row(number);
      }
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#badBlocks++;
      this.#find({ block: number }, error.message, "rows");
    }
  }

  #row(block: number): void {
    const { sequence, bytes, keyStart, keyEnd, recordEnd } = this.#pointer;
    const key = this.#pointer.key();
    const order = this.#last === undefined ? 1 : compareBytes(key, this.#last);
    if (order < 0 || (order === 0 && sequence >= this.#lastSequence))
      this.#wrongRow(block, key, "a row out of order", "rows by key, and the newest version of a key first");
    if (order !== 0) this.#newKey(block, key, hashRange(bytes, keyStart, keyEnd));
    if (sequence > this.#sequenceMax)
      this.#wrongRow(
        block,
        key,
        `the sequence number ${sequence}`,
        `at most ${this.#sequenceMax}, as MANIFEST says`,
      );
    try {
      decodeRecord(this.#pointer.record());
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#wrongRow(block, key, error.message, "a record");
    }
    this.#rows++;
    this.#contentBytes += recordEnd - keyStart;
    this.#sequenceLow = Math.min(this.#sequenceLow, sequence);
    this.#sequenceHigh = Math.max(this.#sequenceHigh, sequence);
    this.#smallest ??= key;
    this.#last = key;
    this.#lastSequence = sequence;
  }

  /** A read finds the first row of a key, or none of the key. */
  #newKey(block: number, key: Bytes, hash: number): void {
    this.#keys++;
    const { smallest, largest } = this.#file;
    if (compareBytes(key, smallest) < 0 || compareBytes(key, largest) > 0)
      return this.#wrongRow(block, key, "a key outside of its file", `keys from ${rangeOf(this.#file)}`);
    if (this.#filter !== undefined && (this.#filter.length === 0 || !mayContain(this.#filter, hash)))
      this.#wrongRow(block, key, "a key that the filter does not have", "a filter with all keys");
    if (this.#index === undefined) return;
    const indexed = equalBytes(key, smallest) ? 0 : this.#index.blockOf(key);
    if (indexed !== block)
      this.#wrongRow(block, key, "a key that the index has elsewhere", "an index that finds all keys");
  }

  #wrongRow(block: number, key: Bytes, found: string, wanted: string): void {
    const problem = this.#problems.get(wanted);
    if (problem !== undefined) problem.count++;
    else this.#problems.set(wanted, { count: 1, place: { block, key: keyForPeople(key) }, found, wanted });
  }

  #tellProblems(): void {
    for (const { count, place, found, wanted } of this.#problems.values())
      this.#find(place, count === 1 ? found : `${found}, the first of ${count}`, wanted);
  }

  /** What the rows come to, against what the footer says. */
  #compareFooter(footer: TableFooter): void {
    const place = { block: this.#file.blocks - 1 };
    if (footer.chain !== this.#chain)
      this.#find(place, `the checksum ${footer.chain} over all blocks`, `${this.#chain}, as they are`);
    const facts: [string, number, number][] = [
      ["rows", footer.rows, this.#rows],
      ["keys", footer.keys, this.#keys],
      ["bytes of rows", footer.contentBytes, this.#contentBytes],
      ["as the lowest sequence number", footer.sequenceMin, this.#sequenceLow],
      ["as the highest sequence number", footer.sequenceMax, this.#sequenceHigh],
    ];
    for (const [what, said, there] of facts)
      if (said !== there)
        this.#find(place, `a footer that says ${said} ${what}`, `${there}, as its blocks have it`);
    const there = { smallest: this.#smallest ?? emptyBytes, largest: this.#last ?? emptyBytes };
    if (!equalBytes(there.smallest, footer.smallest) || !equalBytes(there.largest, footer.largest))
      this.#find(
        place,
        `a footer of keys from ${rangeOf(footer)}`,
        `${rangeOf(there)}, as its blocks have it`,
      );
  }

  #find(place: Place, found: string, wanted: string, code: Finding["code"] = "CORRUPTION"): void {
    this.#findings.push({ code, file: this.#path, ...place, found, wanted });
  }
}

function payloadOf(block: Bytes): Bytes {
  return block.subarray(0, block.length - checksumBytes);
}

function rangeOf({ smallest, largest }: { readonly smallest: Bytes; readonly largest: Bytes }): string {
  return `${keyForPeople(smallest)} to ${keyForPeople(largest)}`;
}
