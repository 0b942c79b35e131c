import type { Disk, DiskFile } from "../../src/env/disk.ts";
import type { Table, TableBuilder, Tables } from "../../src/env/tables.ts";
import { assert } from "../../src/lib/assert.ts";
import type { Bytes } from "../../src/lib/bytes.ts";
import { ByteReader, ByteWriter, DecodeError } from "../../src/lib/codec.ts";
import { KvraftError } from "../../src/lib/error.ts";

/** Blocks one after the other in the files of a Disk, so that they live and die with it. */
export class MemoryTables implements Tables {
  readonly #disk: Disk;
  /** Tables that are open, for tests that count them. */
  openCount = 0;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  begin(path: string): TableBuilder {
    return new MemoryTableBuilder(this.#disk, path);
  }

  open(path: string): Table {
    const bytes = this.#disk.read(path);
    if (bytes === undefined) throw new KvraftError("IO_ERROR", `Cannot open run "${path}": it is missing`);
    const blocks = decodeBlocks(bytes, path);
    this.openCount++;
    let isOpen = true;
    return {
      block(number) {
        assert(isOpen, "a table is read before it is closed");
        const block = blocks[number];
        if (block === undefined) throw damaged(path, `block ${number} is missing`);
        return block.slice();
      },
      close: () => {
        isOpen = false;
        this.openCount--;
      },
    };
  }
}

class MemoryTableBuilder implements TableBuilder {
  readonly #disk: Disk;
  readonly #path: string;
  readonly #file: DiskFile;
  #offset = 0;
  #isOver = false;

  constructor(disk: Disk, path: string) {
    this.#disk = disk;
    this.#path = path;
    disk.remove(path);
    this.#file = disk.open(path, "create");
  }

  /** Each block is a write, so that a crash leaves files of any length. */
  add(block: Bytes): void {
    assert(!this.#isOver, "blocks come before the end");
    const writer = new ByteWriter();
    writer.bytes(block);
    this.#file.write(this.#offset, writer.view());
    this.#offset += writer.length;
  }

  finish(): void {
    assert(!this.#isOver, "a file is completed once");
    this.#isOver = true;
    this.#file.sync();
  }

  abandon(): void {
    this.#isOver = true;
    try {
      this.#disk.remove(this.#path);
    } catch (error) {
      if (!(error instanceof KvraftError)) throw error;
    }
  }
}

function decodeBlocks(bytes: Bytes, path: string): Bytes[] {
  const blocks: Bytes[] = [];
  try {
    const reader = new ByteReader(bytes);
    while (reader.remaining > 0) blocks.push(reader.bytes());
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw damaged(path, error.message);
  }
  return blocks;
}

function damaged(path: string, what: string): KvraftError {
  return new KvraftError("CORRUPTION", `Cannot read run "${path}": the file is damaged (${what})`);
}
