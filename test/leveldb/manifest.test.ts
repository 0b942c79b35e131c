import { expect, test } from "bun:test";
import {
  decodeManifest,
  emptyManifest,
  encodeManifest,
  filesOf,
  type Manifest,
  readManifest,
  type TableFile,
} from "../../src/leveldb/manifest.ts";
import { fromHex, toHex, toUtf8 } from "../../src/lib/bytes.ts";
import { crc32 } from "../../src/lib/checksum.ts";
import { KvraftError } from "../../src/lib/error.ts";
import { MemoryDisk } from "./memory-disk.ts";

const path = "store/MANIFEST";

const first: TableFile = {
  number: 11,
  rows: 3,
  bytes: 8192,
  blocks: 4,
  checksum: 0xfedcba98,
  smallest: toUtf8(""),
  largest: toUtf8("zz"),
};
const second: TableFile = { ...first, number: 2, rows: 1, smallest: toUtf8("k"), largest: toUtf8("k") };

/** One run that nothing happens to, and a merge of two, half done. */
const manifest: Manifest = {
  nextNumber: 2 ** 40,
  sequence: Number.MAX_SAFE_INTEGER,
  applied: { index: 4000, term: 7 },
  historyFloor: 300,
  logStart: { index: 3000, term: 5 },
  runs: [
    { id: 12, parts: [{ file: first, from: undefined }] },
    { id: 10, parts: [{ file: { ...first, number: 9 }, from: toUtf8("m") }] },
    { id: 8, parts: [] },
    {
      id: 13,
      parts: [
        { file: second, from: undefined },
        { file: { ...second, number: 3 }, from: new Uint8Array(0) },
      ],
    },
  ],
  merges: [{ inputs: [10, 8], output: 13, isBottom: true }],
};

function failureOf(bytes: Uint8Array): KvraftError {
  const disk = new MemoryDisk();
  disk.createFolder("store");
  disk.open(path, "create");
  disk.damage(path, bytes);
  try {
    readManifest(disk, "store");
  } catch (error) {
    if (error instanceof KvraftError) return error;
    throw error;
  }
  throw new Error("a MANIFEST that cannot be believed was read");
}

test("the worked example of the grammar holds", () => {
  expect(toHex(encodeManifest(emptyManifest))).toBe("6b76726166744d46030009000000cb125a9d010000000000000000");
});

test("what is encoded is decoded again", () => {
  expect(decodeManifest(encodeManifest(manifest), path)).toEqual(manifest);
  expect(decodeManifest(encodeManifest(emptyManifest), path)).toEqual(emptyManifest);
});

test("every single damaged byte is CORRUPTION that names the file", () => {
  const whole = encodeManifest(manifest);
  for (let offset = 0; offset < whole.length; offset++) {
    for (const flip of [0x01, 0x80, 0xff]) {
      const bytes = whole.slice();
      bytes[offset] = bytes[offset]! ^ flip;
      const failure = failureOf(bytes);
      expect(failure.code, `byte ${offset}`).toBe("CORRUPTION");
      expect(failure.message).toContain(`Cannot read "${path}": the file is damaged (`);
    }
  }
});

test("a cut MANIFEST, an empty one and one with something behind it are CORRUPTION", () => {
  const whole = encodeManifest(manifest);
  for (let length = 0; length < whole.length; length++)
    expect(failureOf(whole.slice(0, length)).code, `${length} bytes`).toBe("CORRUPTION");
  expect(failureOf(Uint8Array.from([...whole, 0])).code).toBe("CORRUPTION");
});

test.each([
  [1, "6b76726166744d46010005000000c047b9370100000000"],
  [2, "6b76726166744d4602000700000034f33d8701000000000000"],
])("a whole MANIFEST of format %d is refused as such, too", (format, hex) => {
  const failure = failureOf(fromHex(hex)!);
  expect(failure.code).toBe("FORMAT");
  expect(failure.message).toContain(`it has format ${format}, this program knows format 3`);
});

test("a whole MANIFEST of a newer format is refused as such, and not as damage", () => {
  const bytes = encodeManifest(manifest);
  bytes[8] = 4;
  const checksum = crc32(bytes.subarray(18), crc32(bytes.subarray(0, 14), 0x6d616e66));
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(14, checksum, true);
  const failure = failureOf(bytes);
  expect(failure.code).toBe("FORMAT");
  expect(failure.message).toBe(
    `Cannot read "${path}": it has format 4, this program knows format 3; use the version of kvraft that wrote it`,
  );
});

test("the files that it names are those of all runs, newest run first, whether a merge has cut them or not", () => {
  expect(filesOf(manifest).map((file) => file.number)).toEqual([11, 9, 2, 3]);
});
