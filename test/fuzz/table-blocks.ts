/**
 * What a run's file and MANIFEST are made of, with checksums that fit: blocks of rows, filters, indexes, footers with their samples,
 * and whole files of such blocks. A checksum says that nobody has damaged the bytes by chance; it does not say that they make sense.
 */
import type { Prng } from "../../src/env/prng.ts";
import { openBlock, RowBlock, RowPointer, sealBlock } from "../../src/leveldb/block.ts";
import { BlockIndex, BlockIndexBuilder } from "../../src/leveldb/block-index.ts";
import { buildFilter, mayContain } from "../../src/leveldb/bloom-filter.ts";
import { hashKey } from "../../src/leveldb/key-hash.ts";
import { estimateLive } from "../../src/leveldb/key-sample.ts";
import {
  decodeManifest,
  encodeManifest,
  type Manifest,
  type RunState,
  type TableFile,
} from "../../src/leveldb/manifest.ts";
import { encodeRecord, tombstoneRecord } from "../../src/leveldb/record.ts";
import { Table } from "../../src/leveldb/table.ts";
import { decodeFooter, encodeFooter, metaBlocks, type TableFooter } from "../../src/leveldb/table-footer.ts";
import { TableWriter } from "../../src/leveldb/table-writer.ts";
import { type Bytes, compareBytes, concatBytes, emptyBytes, equalBytes } from "../../src/lib/bytes.ts";
import { crc32 } from "../../src/lib/checksum.ts";
import { ByteReader, DecodeError, readU32 } from "../../src/lib/codec.ts";
import { KvraftError } from "../../src/lib/error.ts";
import { MemoryDisk } from "../leveldb/memory-disk.ts";
import { MemoryTables } from "../leveldb/memory-tables.ts";
import { ensure, ensureEqual, type FuzzTarget, withinMemory } from "./fuzzer.ts";
import { mutate, randomBytes, randomNumber, randomOrMutated } from "./mutate.ts";
import { encoded } from "./values.ts";

const fileNumber = 3;
const folder = "store";

interface Row {
  readonly key: Bytes;
  readonly sequence: number;
  readonly record: Bytes;
}

/** What is read of bytes with a checksum that fits, each by its own reader. */
const readers: readonly {
  readonly name: string;
  readonly draw: (prng: Prng) => Bytes;
  readonly check: (payload: Bytes) => void;
}[] = [
  { name: "rows", draw: (prng) => pick(prng, someFile(prng).blocks.slice(0, -metaBlocks)), check: checkRows },
  { name: "filter", draw: drawFilter, check: checkFilter },
  { name: "index", draw: drawIndex, check: checkIndex },
  { name: "footer", draw: (prng) => encodeFooter(randomFooter(prng)), check: checkFooter },
  { name: "manifest", draw: (prng) => encodeManifest(randomManifest(prng)), check: checkManifest },
];

function checkRows(payload: Bytes): void {
  const block = sealed(payload, 0);
  ensureEqual(openBlock(block, fileNumber, 0), payload, "a block that was sealed can be opened");
  for (const [file, number] of [[fileNumber, 1] as const, [fileNumber + 1, 0] as const])
    ensure(
      isRefused(() => void openBlock(block, file, number)),
      "a block in another place is refused",
    );
  withinMemory(block.length, () => {
    refusing(() => {
      const rows = new RowBlock(block);
      ensure(rows.count * 4 <= block.length, "a block has no more rows than it has room for");
      const pointer = new RowPointer(emptyBytes);
      for (let row = 0; row < rows.count; row++)
        refusing(() => {
          pointer.load(rows, row);
          const { keyStart, keyEnd, recordEnd } = pointer;
          const isInside = keyStart <= keyEnd && keyEnd <= recordEnd && recordEnd <= rows.rowsEnd;
          ensure(isInside, "a row lies inside of its block");
          ensure(pointer.sequence >= 0, "a sequence number is no less than 0");
          ensure(pointer.compareKey(pointer.key()) === 0, "a key is the same as itself");
        });
    });
  });
}

function drawFilter(prng: Prng): Bytes {
  return buildFilter(Uint32Array.from({ length: prng.int(0, 50) }, () => prng.u32()));
}

function checkFilter(payload: Bytes): void {
  withinMemory(payload.length, () => {
    for (const hash of [0, 1, 0x7fff_ffff, 0xffff_ffff, 0x9e37_79b1])
      ensure(typeof mayContain(payload, hash) === "boolean", "a filter says yes or no");
  });
}

function drawIndex(prng: Prng): Bytes {
  const keys = sortedKeys(prng, prng.int(2, 30));
  const builder = new BlockIndexBuilder();
  for (let at = 1; at < keys.length; at++) builder.add(keys[at - 1]!, keys[at]!);
  return builder.finish();
}

function checkIndex(payload: Bytes): void {
  withinMemory(payload.length, () =>
    refusing(() => {
      const index = new BlockIndex(payload, payload.length % 3);
      ensure((index.blocks - 1) * 4 <= payload.length, "an index has no more entries than it has room for");
      for (const key of [emptyBytes, payload.subarray(0, 9), payload.subarray(-9)]) {
        const at = index.blockOf(key);
        ensure(Number.isInteger(at) && at >= 0 && at < index.blocks, "an index names a block of the file");
      }
    }),
  );
}

function checkFooter(payload: Bytes): void {
  let footer: TableFooter | undefined;
  withinMemory(payload.length, () =>
    refusing(() => {
      footer = decodeFooter(payload);
    }),
  );
  if (footer === undefined) return;
  const { live, total } = estimateLive([footer.sample, footer.sample]);
  ensure(live >= 0 && total >= live / 2, "what is alive is a part of what is there");
  ensureEqual(decodeFooter(encodeFooter(footer)), footer, "what is read as a footer can be written and read");
}

/** With a length and a checksum that fit. */
function checkManifest(payload: Bytes): void {
  const bytes = resealedManifest(payload);
  let manifest: Manifest | undefined;
  withinMemory(bytes.length, () =>
    refusing(() => {
      manifest = decodeManifest(bytes, "MANIFEST");
    }),
  );
  if (manifest === undefined) return;
  ensureEqual(
    decodeManifest(encodeManifest(manifest), "MANIFEST"),
    manifest,
    "what is read as a MANIFEST can be written and read",
  );
}

/** A whole file whose blocks all have checksums that fit: what is asked of it is answered or refused. */
function checkFile(
  blocks: readonly Bytes[],
  file: Omit<TableFile, "checksum">,
  keys: readonly Bytes[],
): void {
  const disk = new MemoryDisk();
  disk.createFolder(folder);
  const tables = new MemoryTables(disk);
  const builder = tables.begin(`${folder}/00000${fileNumber}.run`);
  for (const [number, payload] of blocks.entries()) builder.add(sealed(payload, number));
  builder.finish();
  const last = sealed(blocks.at(-1)!, blocks.length - 1);
  const known = { ...file, checksum: readU32(last, last.length - 4), blocks: blocks.length };
  const bytes = blocks.reduce((sum, block) => sum + block.length, 0);
  refusing(() => {
    const table = new Table(tables, folder, known, undefined);
    try {
      for (const key of keys) withinMemory(2 * bytes, () => refusing(() => void readKey(table, key)));
    } finally {
      table.release();
    }
  });
}

function readKey(table: Table, key: Bytes): void {
  table.mayContain(hashKey(key));
  const found = table.get(key, Infinity);
  ensure(found === undefined || found.sequence >= 0, "a version has a sequence number");
  const at = table.blockOf(key);
  ensure(at >= 0 && at < table.footer.dataBlocks, "a key is looked for inside of the file");
}

/** A file that was written as a store does it, as the payloads of its blocks; all of it is found in it. */
function someFile(prng: Prng): { blocks: Bytes[]; file: Omit<TableFile, "checksum">; rows: Row[] } {
  const disk = new MemoryDisk();
  disk.createFolder(folder);
  const tables = new MemoryTables(disk);
  const path = `${folder}/00000${fileNumber}.run`;
  const writer = new TableWriter(fileNumber, tables.begin(path));
  const rows = randomRows(prng);
  for (const { key, sequence, record } of rows) {
    const bytes = concatBytes([key, record]);
    writer.add(bytes, 0, key.length, bytes.length, sequence);
  }
  const { sample: _, ...rest } = writer.finish();
  const file = { ...rest, bytes: disk.read(path)!.length };
  const table = new Table(tables, folder, file, undefined);
  for (const { key, sequence, record } of rows) {
    ensureEqual(table.get(key, sequence), { sequence, record }, "a file yields what was written into it");
    ensure(table.mayContain(hashKey(key)), "a filter lets pass what was written");
  }
  const blocks = Array.from({ length: file.blocks }, (__, number) => table.payload(number));
  table.release();
  return { blocks, file, rows };
}

function randomRows(prng: Prng): Row[] {
  const lengths = prng.pick([0, 20, 3000]);
  const rows: Row[] = [];
  for (const key of sortedKeys(prng, prng.int(1, 40)))
    for (let sequence = prng.int(50, 60), count = prng.int(1, 3); count > 0; count--, sequence -= 7)
      rows.push({ key, sequence, record: randomRecord(prng, lengths) });
  return rows;
}

function randomRecord(prng: Prng, lengths: number): Bytes {
  if (prng.chance(1, 5)) return tombstoneRecord;
  const value = randomBytes(prng, lengths);
  const life = { isComplete: prng.chance(1, 2), created: 1, count: prng.int(1, 200) };
  return encodeRecord({ isTombstone: false, ...life, lease: 0, expiry: 0, value });
}

function sortedKeys(prng: Prng, count: number): Bytes[] {
  const shared = randomBytes(prng, 6);
  const keys = Array.from({ length: count }, () => concatBytes([shared, randomBytes(prng, 5)]));
  return keys.sort(compareBytes).filter((key, at) => at === 0 || !equalBytes(key, keys[at - 1]!));
}

function randomFooter(prng: Prng): TableFooter {
  const hashes = Array.from({ length: prng.int(0, 6) }, () => prng.u32());
  return {
    rows: randomNumber(prng),
    keys: randomNumber(prng),
    dataBlocks: randomNumber(prng),
    sequenceMin: randomNumber(prng),
    sequenceMax: randomNumber(prng),
    contentBytes: randomNumber(prng),
    smallest: randomBytes(prng, 20),
    largest: randomBytes(prng, 20),
    chain: prng.u32(),
    sample: { hashes, bytes: hashes.map(() => randomNumber(prng)) },
  };
}

function randomManifest(prng: Prng): Manifest {
  const runs = Array.from({ length: prng.int(0, 4) }, () => randomRun(prng));
  return {
    nextNumber: randomNumber(prng),
    sequence: randomNumber(prng),
    applied: { index: randomNumber(prng), term: randomNumber(prng) },
    historyFloor: randomNumber(prng),
    logStart: { index: randomNumber(prng), term: randomNumber(prng) },
    runs,
    merges: Array.from({ length: prng.int(0, 2) }, () => ({
      inputs: runs.map(({ id }) => id),
      output: randomNumber(prng),
      isBottom: prng.chance(1, 2),
    })),
  };
}

function randomRun(prng: Prng): RunState {
  const parts = Array.from({ length: prng.int(0, 3) }, () => ({
    file: {
      number: randomNumber(prng),
      rows: randomNumber(prng),
      bytes: randomNumber(prng),
      blocks: randomNumber(prng),
      checksum: prng.u32(),
      smallest: randomBytes(prng, 20),
      largest: randomBytes(prng, 20),
    },
    from: prng.chance(1, 2) ? undefined : randomBytes(prng, 20),
  }));
  return { id: randomNumber(prng), parts };
}

function sealed(payload: Bytes, block: number): Bytes {
  const bytes = concatBytes([payload, new Uint8Array(4)]);
  sealBlock(bytes, payload.length, fileNumber, block);
  return bytes;
}

/** See manifest.ts. */
function resealedManifest(payload: Bytes): Bytes {
  const headerBytes = 18;
  if (payload.length < headerBytes) return payload;
  const body = payload.subarray(headerBytes);
  const header = concatBytes([payload.subarray(0, 10), encoded((writer) => writer.u32(body.length))]);
  const checksum = crc32(body, crc32(header, 0x6d61_6e66));
  return concatBytes([header, encoded((writer) => writer.u32(checksum)), body]);
}

/** Runs what may refuse its bytes as the readers' interfaces say. */
function refusing(run: () => void): void {
  isRefused(run);
}

function isRefused(run: () => void): boolean {
  try {
    run();
    return false;
  } catch (error) {
    if (error instanceof DecodeError) return true;
    if (!(error instanceof KvraftError)) throw error;
    ensure(["CORRUPTION", "FORMAT"].includes(error.code), `bytes are refused as ${error.code}`);
    return true;
  }
}

function pick(prng: Prng, blocks: readonly Bytes[]): Bytes {
  return prng.pick(blocks);
}

export const tableBlocksTarget: FuzzTarget = {
  name: "table-blocks",
  /** The first byte is the reader's place, the rest is what it reads. */
  check(input) {
    const reader = new ByteReader(input);
    if (reader.remaining === 0) return;
    readers[reader.u8() % readers.length]!.check(reader.rest());
  },
  run(prng, note) {
    for (const [at, { draw, check }] of readers.entries()) {
      const payload = randomOrMutated(prng, () => draw(prng));
      note(concatBytes([Uint8Array.of(at), payload]));
      check(payload);
    }
    const { blocks, file, rows } = someFile(prng);
    const forged = blocks.map((block) =>
      prng.chance(1, 3) ? mutate(prng, block, prng.pick(blocks)) : block,
    );
    note(concatBytes(forged));
    checkFile(forged, file, [...rows.map(({ key }) => key), randomBytes(prng, 9)]);
  },
};
