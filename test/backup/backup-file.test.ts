/** Goal: a backup holds what it was given, every SQLite tool reads it, and nothing that is damaged passes for one. */

import { Database } from "bun:sqlite";
import { afterAll, expect, test } from "bun:test";
import { copyFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BackupReader, type CheckedBackup } from "../../src/backup/backup-reader.ts";
import { BackupWriter } from "../../src/backup/backup-writer.ts";
import { ContentChecksum } from "../../src/backup/content-checksum.ts";
import { saveSnapshot } from "../../src/backup/save.ts";
import { Prng } from "../../src/env/prng.ts";
import { encodeRecord } from "../../src/leveldb/record.ts";
import { toUtf8 } from "../../src/lib/bytes.ts";
import { ByteWriter } from "../../src/lib/codec.ts";
import { KvraftError } from "../../src/lib/error.ts";
import { cleanUp, origin, stateOf, temporaryFolder, userRow, writeBackup } from "./folders.ts";

afterAll(cleanUp);

const users = [
  userRow("", "the empty key", 7),
  userRow("a", "1", 100, 60),
  userRow("b", "", 90),
  userRow(Uint8Array.of(0xff, 0), Uint8Array.of(0, 255), 12, 2),
];

function check(path: string): CheckedBackup {
  const reader = new BackupReader(path);
  try {
    const steps = reader.check();
    for (let step = steps.next(); ; step = steps.next()) if (step.done) return step.value;
  } finally {
    reader.close();
  }
}

/** The code of what it throws. */
function codeOf(run: () => unknown): string {
  try {
    run();
    return "none";
  } catch (error) {
    return error instanceof KvraftError ? error.code : `bug: ${error}`;
  }
}

test("a backup holds the user keys with their lives, and what it is the state of", () => {
  const path = join(temporaryFolder(), "a b%.kvraft");
  const backup = writeBackup(path, users);
  expect(backup).toEqual({ ...origin, revision: 100, clockMs: 1_000_000, keys: 4, bytes: 20 });
  expect(check(path)).toMatchObject(backup);
  const reader = new BackupReader(path);
  expect([...reader.rows()]).toEqual(users.map((row) => ({ ...row, key: row.key.slice(1) })));
  reader.close();
  expect(readdirSync(join(path, ".."))).toEqual(["a b%.kvraft"]);
});

test("any SQLite tool reads it, and can compute its checksum from the content alone", () => {
  const path = join(temporaryFolder(), "one");
  writeBackup(path, users);
  using database = new Database(path, { readonly: true });
  const rows = database.query("SELECT * FROM kv ORDER BY key").all() as {
    key: Uint8Array;
    value: Uint8Array;
    created: number;
    modified: number;
    count: number;
  }[];
  expect(rows.map(({ created, modified, count }) => [created, modified, count])).toEqual([
    [7, 7, 1],
    [41, 100, 60],
    [90, 90, 1],
    [11, 12, 2],
  ]);
  const fields = database.query("SELECT * FROM backup ORDER BY name").all() as {
    name: string;
    value: unknown;
  }[];
  expect(fields.map(({ name }) => name)).toEqual(
    "bytes checksum clockMs clusterId createdAt format index keys revision term version".split(" "),
  );
  // As content-checksum.ts says it, in other words.
  const parts: Buffer[] = [];
  const number = (value: number, bytes: number) => {
    const part = Buffer.alloc(bytes);
    part.writeUIntLE(value, 0, Math.min(bytes, 6));
    parts.push(part);
  };
  for (const { key, value, created, modified, count } of rows) {
    for (const part of [key, value]) {
      number(part.length, 4);
      parts.push(Buffer.from(part));
    }
    for (const value of [created, modified, count]) number(value, 8);
  }
  for (const { name, value } of fields)
    if (name !== "checksum") parts.push(Buffer.from(`${name}=${value}\n`));
  const hash = new Bun.CryptoHasher("sha256").update(Buffer.concat(parts)).digest("hex");
  expect(fields.find(({ name }) => name === "checksum")!.value).toBe(hash);
  expect(database.query("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
});

test("the checksum depends on no bound of the buffer", () => {
  const prng = new Prng(7);
  for (let round = 0; round < 40; round++) {
    const rows = Array.from({ length: prng.int(1, 30) }, (_, at) => {
      const size = prng.pick([0, 1, 100, 65_500, 65_536, 65_537, 200_000]) + prng.int(0, 40);
      return {
        key: new Uint8Array(at),
        value: new Uint8Array(size).fill(at),
        created: 1,
        modified: 2 ** 40 + at,
        count: 3,
      };
    });
    const checksum = new ContentChecksum();
    const hash = new Bun.CryptoHasher("sha256");
    for (const row of rows) {
      checksum.add(row);
      const head = (length: number) => new Uint8Array(Uint32Array.of(length).buffer);
      hash.update(head(row.key.length)).update(row.key).update(head(row.value.length)).update(row.value);
      const numbers = [row.created, row.modified, row.count].map(BigInt);
      hash.update(new Uint8Array(BigUint64Array.from(numbers).buffer));
    }
    expect(checksum.finish(new Map())).toBe(hash.digest("hex"));
  }
});

test("an existing file is never overwritten, and what is not finished leaves nothing", () => {
  const folder = temporaryFolder();
  const path = join(folder, "file");
  writeFileSync(path, "mine");
  expect(codeOf(() => new BackupWriter(path))).toBe("EXISTS");
  const other = join(folder, "other");
  const writer = new BackupWriter(other);
  writer.add(users[0]!);
  expect(readdirSync(folder)).toEqual(["file", "other.part"]);
  expect(codeOf(() => new BackupWriter(other))).toBe("LOCKED");
  writer.abandon();
  expect(readdirSync(folder)).toEqual(["file"]);
  // Somebody was faster.
  const late = new BackupWriter(other);
  for (const row of stateOf(users)) late.add(row);
  writeFileSync(other, "theirs");
  expect(codeOf(() => late.finish(origin))).toBe("EXISTS");
  late.abandon();
  expect([readFileSync(path, "utf8"), readFileSync(other, "utf8")]).toEqual(["mine", "theirs"]);
});

test("what an interrupted run has left is replaced", () => {
  const path = join(temporaryFolder(), "file");
  for (const content of ["", new Uint8Array(20_000)]) {
    writeFileSync(`${path}.part`, content);
    new BackupWriter(path).abandon();
  }
  writeBackup(path, users);
  copyFileSync(path, `${path}2.part`);
  writeBackup(`${path}2`, users.slice(1));
  expect(check(`${path}2`).keys).toBe(3);
  expect(existsSync(`${path}2.part`)).toBe(false);
});

test("a file that has the name of a part and is none is never removed", () => {
  const path = join(temporaryFolder(), "file");
  const database = new Database(`${path}.part`);
  database.run("CREATE TABLE t (x)");
  database.close();
  const contents = [readFileSync(`${path}.part`), Buffer.from("a movie that is not here yet")];
  for (const content of contents) {
    writeFileSync(`${path}.part`, content);
    expect(codeOf(() => new BackupWriter(path))).toBe("EXISTS");
    expect(readFileSync(`${path}.part`)).toEqual(content);
  }
});

test("a folder that is not there is told by name", () => {
  const path = join(temporaryFolder(), "no", "file");
  expect(() => new BackupWriter(path)).toThrow(`Cannot write the backup "${path}": `);
  expect(codeOf(() => new BackupReader(path))).toBe("NOT_FOUND");
});

test("a state without a meta record, or with rows of a kind that is not known, is no backup", () => {
  const folder = temporaryFolder();
  const writer = new BackupWriter(join(folder, "a"));
  expect(codeOf(() => writer.add({ ...users[0]!, key: Uint8Array.of(0x7a) }))).toBe("FORMAT");
  writer.abandon();
  expect(readdirSync(folder)).toEqual([]);
});

test("a byte that is not as it was written is found, wherever it is, or means nothing", () => {
  const folder = temporaryFolder();
  const path = join(folder, "whole");
  const many = Array.from({ length: 300 }, (_, at) =>
    userRow(`key${1000 + at}`, "x".repeat(at * 7), (at % 90) + 1),
  );
  writeBackup(path, many);
  const whole = readFileSync(path);
  const checked = check(path);
  const prng = new Prng(11);
  const found = new Map<string, number>();
  for (let round = 0; round < 400; round++) {
    const damaged = Buffer.from(whole);
    const at = round < 100 ? round : prng.int(0, whole.length - 1);
    damaged[at]! ^= 1 << prng.int(0, 7);
    const copy = join(folder, "damaged");
    writeFileSync(copy, damaged);
    const code = codeOf(() => expect(check(copy)).toEqual(checked));
    found.set(code, (found.get(code) ?? 0) + 1);
  }
  for (let length = 0; length < whole.length; length += 4099) {
    const copy = join(folder, "cut");
    writeFileSync(copy, whole.subarray(0, length));
    expect(codeOf(() => check(copy))).toBe("CORRUPTION");
  }
  // Bytes that SQLite does not use make no difference; a format that is changed is another one.
  expect([...found.keys()].filter((code) => !["CORRUPTION", "none", "FORMAT"].includes(code))).toEqual([]);
  expect(found.get("CORRUPTION")).toBeGreaterThan(150);
});

test("rows that no backup has are told as such, before any checksum is looked at", () => {
  const changes: [string, string][] = [
    ["INSERT INTO kv SELECT * FROM kv WHERE key = x'61'", "its rows are not in the order of their keys"],
    ["UPDATE kv SET modified = 101 WHERE key = x'61'", "a row has a life that no key can have"],
    ["UPDATE kv SET created = 0 WHERE key = x'61'", "a row has a life that no key can have"],
    ["UPDATE kv SET created = 91 WHERE key = x'62'", "a row has a life that no key can have"],
    ["UPDATE kv SET count = 0 WHERE key = x'61'", "a row has a life that no key can have"],
  ];
  for (const [change, problem] of changes) {
    const path = join(temporaryFolder(), "file");
    writeBackup(path, users);
    const database = new Database(path);
    // The same rows without what SQLite itself checks.
    for (const step of [
      "CREATE TABLE loose AS SELECT * FROM kv",
      "DROP TABLE kv",
      "ALTER TABLE loose RENAME TO kv",
    ])
      database.run(step);
    database.run(change);
    database.close();
    expect(() => check(path)).toThrow(problem);
  }
});

test("a state that has fewer or more rows than its node has counted is not backed up", async () => {
  const record = encodeRecord({ ...users[0]!, isTombstone: false, isComplete: true, lease: 0, expiry: 0 });
  const row = new ByteWriter();
  for (const number of [7, 1, record.length]) row.varint(number);
  row.raw(toUtf8("k"));
  row.raw(record);
  for (const counted of [0, 2]) {
    const folder = temporaryFolder();
    const source = {
      ...{ clusterId: origin.clusterId, index: 40, term: 3, bytes: row.length, rowCount: counted },
      async *[Symbol.asyncIterator]() {
        yield row.copy();
      },
    };
    const options = { createdAt: origin.createdAt, version: "0.1.0", progress: () => {} };
    const error: unknown = await saveSnapshot(join(folder, "file"), source, options).catch((cause) => cause);
    expect(String(error)).toContain(`1 rows have come, and it has ${counted}`);
    expect(readdirSync(folder)).toEqual([]);
  }
});

test("a value that was changed with SQLite's own means is found", () => {
  const changes = [
    "UPDATE kv SET value = 'x' WHERE key = x'61'",
    "UPDATE kv SET value = x'32' WHERE key = x'61'",
    "UPDATE kv SET count = 59 WHERE key = x'61'",
    "UPDATE kv SET modified = 101, created = 101 WHERE key = x'61'",
    "DELETE FROM kv WHERE key = x'61'",
    "INSERT INTO kv VALUES (x'63', x'63', 1, 1, 1)",
    "UPDATE backup SET value = 101 WHERE name = 'revision'",
    "UPDATE backup SET value = '101' WHERE name = 'revision'",
    "DELETE FROM backup WHERE name = 'clockMs'",
    "DROP TABLE backup",
  ];
  for (const change of changes) {
    const path = join(temporaryFolder(), "file");
    writeBackup(path, users);
    const database = new Database(path);
    database.run(change);
    database.close();
    expect([change, codeOf(() => check(path))]).toEqual([change, "CORRUPTION"]);
  }
});
