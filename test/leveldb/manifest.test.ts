import { expect, test } from "bun:test";
import {
  decodeManifest,
  emptyManifest,
  encodeManifest,
  type Manifest,
  readManifest,
} from "../../src/leveldb/manifest.ts";
import { toHex, toUtf8 } from "../../src/lib/bytes.ts";
import { crc32 } from "../../src/lib/checksum.ts";
import { KvraftError } from "../../src/lib/error.ts";
import { MemoryDisk } from "./memory-disk.ts";

const path = "store/MANIFEST";

const manifest: Manifest = {
  nextFile: 12,
  sequence: Number.MAX_SAFE_INTEGER,
  applied: { index: 4000, term: 7 },
  runs: [
    {
      number: 11,
      rows: 3,
      bytes: 8192,
      smallest: toUtf8(""),
      largest: toUtf8("zz"),
      sequenceMin: 5,
      sequenceMax: 900,
    },
    {
      number: 2,
      rows: 1,
      bytes: 4096,
      smallest: toUtf8("k"),
      largest: toUtf8("k"),
      sequenceMin: 1,
      sequenceMax: 1,
    },
  ],
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
  expect(toHex(encodeManifest(emptyManifest))).toBe("6b76726166744d46010005000000c047b9370100000000");
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

test("a whole MANIFEST of a newer format is refused as such, and not as damage", () => {
  const bytes = encodeManifest(manifest);
  bytes[8] = 2;
  const checksum = crc32(bytes.subarray(18), crc32(bytes.subarray(0, 14), 0x6d616e66));
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(14, checksum, true);
  const failure = failureOf(bytes);
  expect(failure.code).toBe("FORMAT");
  expect(failure.message).toBe(
    `Cannot read "${path}": it has format 2, this program knows format 1; use the version of kvraft that wrote it`,
  );
});
