/** Goal: rows that leave one store are those that enter another, and bytes that are no such rows are told from them. */
import { expect, test } from "bun:test";
import type { Prng } from "../../src/env/prng.ts";
import { decodeRows, type LiveRow, RowChunk, RowChunkWriter } from "../../src/leveldb/row-chunk.ts";
import { type Bytes, concatBytes, toHex, toUtf8 } from "../../src/lib/bytes.ts";
import { DecodeError } from "../../src/lib/codec.ts";
import { put, putBytes, type Row, tombstone } from "./rows.ts";
import { eachSeed } from "./seed.ts";

const complete = { isComplete: true };

function chunkOf(rows: readonly Row[]): Bytes {
  const writer = new RowChunkWriter();
  for (const row of rows) addRow(writer, row);
  return writer.take(Infinity);
}

/** From the middle of something larger, as they come. */
function addRow(writer: RowChunkWriter, { key, record, sequence }: Row): void {
  const bytes = concatBytes([new Uint8Array(3), key, record, new Uint8Array(2)]);
  writer.add(bytes, 3, 3 + key.length, 3 + key.length + record.length, sequence);
}

function liveRows(prng: Prng, count: number): Row[] {
  const rows: Row[] = [];
  let key = 0;
  for (let row = 0; row < count; row++) {
    key += prng.int(1, 1000);
    const value = new Uint8Array(prng.pick([0, 1, 100, 5000])).fill(prng.int(0, 255));
    const sequence = prng.pick([0, 1, 300, 2 ** 40, Number.MAX_SAFE_INTEGER]);
    const bytes = toUtf8(`k${String(key).padStart(8, "0")}`);
    rows.push(putBytes(bytes, sequence, { isComplete: true, value }));
  }
  return rows;
}

test("the worked example of the grammar holds", () => {
  const row = put("k", 300, { value: toUtf8("hi"), isComplete: true });
  expect(toHex(chunkOf([row]))).toBe("ac0201076b0102ac02016869");
  expect([...decodeRows(chunkOf([row]))]).toEqual([row]);
  expect([...decodeRows(new Uint8Array(0))]).toEqual([]);
});

test("what is written is decoded again, whole chunks of any size", () => {
  eachSeed(20, (prng) => {
    const rows = liveRows(prng, 60);
    const bytesMax = prng.pick([1, 30, 1000, 20_000]);
    const writer = new RowChunkWriter();
    const decoded: LiveRow[] = [];
    const takeAll = () => {
      const chunk = writer.take(bytesMax);
      const found = [...decodeRows(chunk)];
      decoded.push(...found);
      if (chunk.length > bytesMax) expect(found.length).toBe(1);
    };
    for (const row of rows) {
      if (prng.chance(1, 3)) writer.reserve(bytesMax);
      addRow(writer, row);
      if (writer.length >= bytesMax) takeAll();
    }
    while (writer.length > 0) takeAll();
    expect(decoded).toEqual(rows);
  });
});

test("a chunk that was taken keeps its bytes", () => {
  const writer = new RowChunkWriter();
  const rows = liveRowsOf(["a", "b", "c"]);
  for (const row of rows) addRow(writer, row);
  const first = writer.take(writer.length - 1);
  writer.reserve(10);
  for (const row of liveRowsOf(["d", "e"])) addRow(writer, row);
  expect([...decodeRows(first)]).toEqual(rows.slice(0, 2));
  expect([...decodeRows(writer.take(1000))].map(({ key }) => key)).toEqual(["c", "d", "e"].map(toUtf8));
});

function liveRowsOf(keys: readonly string[]): Row[] {
  return keys.map((key, at) => put(key, at + 1, complete));
}

test("a cut chunk is refused, unless it is cut between rows", () => {
  const rows = liveRowsOf(["a", "b", "", "long".repeat(40)].sort());
  const whole = chunkOf(rows);
  const ends = rows.map((_, at) => chunkOf(rows.slice(0, at)).length);
  for (let length = 0; length < whole.length; length++) {
    const decode = () => [...decodeRows(whole.subarray(0, length))];
    if (ends.includes(length)) expect(decode().length).toBe(ends.indexOf(length));
    else expect(decode, `${length} bytes`).toThrow(DecodeError);
  }
  expect(() => [...decodeRows(concatBytes([whole, new Uint8Array(1)]))]).toThrow(DecodeError);
});

test.each([
  ["keys that go back", liveRowsOf(["b", "a"]), "rows do not ascend by key"],
  ["a key twice", liveRowsOf(["a", "a"]), "rows do not ascend by key"],
  ["a key behind a longer one", liveRowsOf(["ab", "a"]), "rows do not ascend by key"],
  ["a tombstone", [tombstone("a", 1)], "a row is a tombstone"],
  ["a record that older rows belong to", [put("a", 1)], "a row does not say when its key was created"],
  ["a count of none", [put("a", 1, { ...complete, count: 0 })], "a row does not say when"],
  ["a creation after the row", [put("a", 1, { ...complete, created: 2 })], "a row does not say when"],
])("%s: refused", (_, rows, why) => {
  expect(() => [...decodeRows(chunkOf(rows))]).toThrow(why);
  expect(() => [...decodeRows(chunkOf(rows))]).toThrow(DecodeError);
});

test("the order goes on from chunk to chunk", () => {
  const chunk = chunkOf(liveRowsOf(["b", "c"]));
  for (const above of ["", "a", "aaa"]) expect(new RowChunk(chunk, toUtf8(above)).isValid).toBe(true);
  for (const above of ["b", "ba", "c"]) expect(() => new RowChunk(chunk, toUtf8(above))).toThrow(DecodeError);
  expect(new RowChunk(new Uint8Array(0), toUtf8("z")).isValid).toBe(false);
});

test("whatever bytes come, they are rows in order or a DecodeError", () => {
  eachSeed(300, (prng) => {
    const bytes = chunkOf(liveRows(prng, 3)).slice();
    for (let flips = prng.int(1, 3); flips > 0; flips--)
      bytes[prng.int(0, bytes.length - 1)]! ^= prng.pick([1, 0x80, 0xff]);
    let last: Bytes | undefined;
    try {
      for (const { key } of decodeRows(bytes)) {
        if (last !== undefined) expect(Buffer.compare(last, key)).toBe(-1);
        last = key;
      }
    } catch (error) {
      expect(error).toBeInstanceOf(DecodeError);
    }
  });
});
