import { expect, test } from "bun:test";
import { BlockCache } from "../../src/leveldb/block-cache.ts";
import { hashKey } from "../../src/leveldb/key-hash.ts";
import type { RunState } from "../../src/leveldb/manifest.ts";
import { encodeRecord, valueOfRecord } from "../../src/leveldb/record.ts";
import { RunFolder } from "../../src/leveldb/run-folder.ts";
import { TableWriter } from "../../src/leveldb/table-writer.ts";
import { concatBytes, toUtf8 } from "../../src/lib/bytes.ts";
import { folder, TextStore, text } from "./text-store.ts";

test("a file that was opened before MANIFEST names it stays through a MANIFEST that does not, and is never given up", () => {
  const db = new TextStore();
  db.put("a", "1");
  db.flush();
  db.store.close();
  const unneeded: number[] = [];
  const runs = RunFolder.open(
    db,
    folder,
    new BlockCache(0),
    () => {},
    (number) => unneeded.push(number),
  );
  const before = runs.manifest;
  const writer = new TableWriter(50, db.tables.begin(`${folder}/000050.run`));
  const key = toUtf8("b");
  const life = { isTombstone: false, isComplete: true, created: 2, count: 1, lease: 0, expiry: 0 };
  const row = concatBytes([key, encodeRecord({ ...life, value: toUtf8("2") })]);
  writer.add(row, 0, key.length, row.length, 2);
  const { sample: _, ...file } = writer.finish();
  runs.prepare({ ...file, bytes: 1 });
  // A flush is installed in the middle of a merge's step, whose file is complete already.
  runs.follow({ ...before, sequence: 2 });
  expect(unneeded).toEqual([]);
  const run: RunState = { id: 51, parts: [{ file: { ...file, bytes: 1 }, from: undefined }] };
  runs.follow({ ...before, sequence: 2, runs: [run, ...before.runs] });
  const found = runs.runs[0]!.get(key, hashKey(key), Infinity);
  expect(text(valueOfRecord(found!.record))).toBe("2");
  runs.follow(before);
  expect(unneeded).toEqual([50]);
  runs.close();
  expect(db.tables.openCount).toBe(0);
});
