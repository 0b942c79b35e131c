/** The file of a run: what the writer has put in comes out again, and nothing else. */
import { expect, test } from "bun:test";
import { pageBlockBytes } from "../../src/env/tables.ts";
import { hashKey } from "../../src/leveldb/key-hash.ts";
import { decodeFooter, encodeFooter } from "../../src/leveldb/table-footer.ts";
import { TableWriter } from "../../src/leveldb/table-writer.ts";
import { AssertionError } from "../../src/lib/assert.ts";
import { concatBytes, equalBytes, fromUtf8, toHex, toUtf8 } from "../../src/lib/bytes.ts";
import { crc32 } from "../../src/lib/checksum.ts";
import { DecodeError } from "../../src/lib/codec.ts";
import { randomRows } from "./random-rows.ts";
import { addRow, put, putBytes, RunFiles, tombstone } from "./rows.ts";
import { eachSeed } from "./seed.ts";

test("every version that was written is found at its sequence number, and nothing beside it", () => {
  eachSeed(25, (prng, seed) => {
    const files = new RunFiles();
    const { rows, keys, strangers } = randomRows(prng, prng.pick([1, 10, 400]));
    const table = files.open(files.build(rows));
    for (const key of [...keys, ...strangers]) {
      const versions = rows.filter((row) => equalBytes(row.key, key));
      if (versions.length > 0) expect(table.mayContain(hashKey(key))).toBe(true);
      for (const sequence of [Infinity, 0, prng.int(0, 60), versions[0]?.sequence ?? 1]) {
        const expected = versions.find((row) => row.sequence <= sequence);
        const found = table.get(key, sequence);
        const where = `SEED=${seed} ${toHex(key)} at ${sequence}`;
        expect(found?.sequence, where).toBe(expected?.sequence);
        expect(found?.record, where).toEqual(expected?.record);
      }
    }
    table.release();
    expect(files.tables.openCount).toBe(0);
  });
});

test("MANIFEST and the footer say what the file holds", () => {
  eachSeed(10, (prng) => {
    const files = new RunFiles();
    const { rows, keys } = randomRows(prng, 200);
    const file = files.build(rows);
    const { footer } = files.open(file);
    const sequences = rows.map((row) => row.sequence);
    expect(file).toMatchObject({ number: 1, rows: rows.length, blocks: footer.dataBlocks + 3 });
    expect(file.smallest).toEqual(rows[0]!.key);
    expect(file.largest).toEqual(rows.at(-1)!.key);
    expect(footer).toMatchObject({
      rows: rows.length,
      keys: keys.length,
      sequenceMin: Math.min(...sequences),
      sequenceMax: Math.max(...sequences),
      contentBytes: rows.reduce((sum, { key, record }) => sum + key.length + record.length, 0),
      smallest: file.smallest,
      largest: file.largest,
    });
    expect(decodeFooter(encodeFooter(footer))).toEqual(footer);
  });
});

test("the worked example of the footer's grammar is what is written", () => {
  const files = new RunFiles();
  files.build([tombstone("k", 7)]);
  const blocks = files.tables.open("store/000001.run");
  expect(toHex(blocks.block(3))).toBe("6b7672616674524e0100010101070703016b016b92dc445e00dd35461e");
  const checksums = [0, 1, 2].map((number) => blocks.block(number).slice(-4));
  const { chain } = decodeFooter(blocks.block(3).slice(0, -4));
  expect(chain).toBe(crc32(concatBytes(checksums), 0x72756e73));
});

test("a footer of another kind or format, or that is cut, is a DecodeError", () => {
  const files = new RunFiles();
  const bytes = encodeFooter(files.open(files.build([put("a", 1), put("b", 2)])).footer);
  for (let length = 0; length < bytes.length; length++)
    expect(() => decodeFooter(bytes.slice(0, length))).toThrow(DecodeError);
  expect(() => decodeFooter(new Uint8Array([...bytes, 0]))).toThrow(DecodeError);
  expect(() => decodeFooter(bytes.with(0, 0x4b))).toThrow("its footer does not start like one");
  expect(() => decodeFooter(bytes.with(8, 2))).toThrow("its footer has format 2, 1 is known");
});

test("a block fills one page and no more, unless a row alone is larger; the next one is ordinary again", () => {
  const files = new RunFiles();
  const rows = Array.from({ length: 3000 }, (_, place) =>
    putBytes(toUtf8(`key${1000 + place}`), 2 ** 45 + place, {
      value: new Uint8Array(place === 1500 ? 300_000 : place % 90),
    }),
  );
  const table = files.open(files.build(rows));
  const blocks = files.tables.open("store/000001.run");
  const sizes = Array.from({ length: table.footer.dataBlocks }, (_, number) => blocks.block(number).length);
  expect(sizes.filter((size) => size > pageBlockBytes).length).toBe(1);
  const full = sizes.slice(0, -1).filter((size) => size > pageBlockBytes - 200);
  expect(full.length).toBeGreaterThanOrEqual(sizes.length - 3);
  expect(table.get(rows[1500]!.key, Infinity)?.record).toEqual(rows[1500]!.record);
  expect(table.get(rows[1501]!.key, Infinity)?.record).toEqual(rows[1501]!.record);
});

test("rows go in in order, or it is a bug", () => {
  const files = new RunFiles();
  for (const [first, second] of [
    [put("b", 1), put("a", 2)],
    [put("b", 1), put("b", 1)],
    [put("b", 1), put("b", 2)],
    [put("b", 1), put("", 1)],
  ] as const) {
    const writer = new TableWriter(9, files.tables.begin("store/000009.run"));
    addRow(writer, first);
    expect(() => addRow(writer, second)).toThrow(AssertionError);
    writer.abandon();
  }
  const empty = new TableWriter(9, files.tables.begin("store/000009.run"));
  expect(() => empty.finish()).toThrow(AssertionError);
  empty.abandon();
  expect(files.disk.list("store")).toEqual([]);
});

test("points are cached and scans are not, but both use what is there", () => {
  const files = new RunFiles();
  const rows = Array.from({ length: 2000 }, (_, place) => put(`key${1000 + place}`, 1));
  const table = files.open(files.build(rows));
  table.rows(1, false);
  expect(files.cache.bytes).toBe(0);
  table.get(rows[0]!.key, Infinity);
  expect(files.cache.bytes).toBe(pageBlockBytes);
  expect(table.rows(0, false)).toBe(table.rows(0, false));
});

test("a file is closed with its last holder, and who holds it is told once", () => {
  const files = new RunFiles();
  const table = files.open(files.build([put("a", 1)]));
  table.hold();
  table.release();
  expect(fromUtf8(table.get(toUtf8("a"), Infinity)!.record).endsWith("a@1")).toBe(true);
  table.release();
  expect(files.tables.openCount).toBe(0);
  expect(() => table.hold()).toThrow(AssertionError);
  expect(() => table.release()).toThrow(AssertionError);
});
