import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { SnapshotSource } from "../../src/backup/save.ts";
import type { StateRow } from "../../src/backup/state-row.ts";
import { encodeRecord } from "../../src/leveldb/record.ts";
import { type Bytes, toUtf8 } from "../../src/lib/bytes.ts";
import { ByteWriter } from "../../src/lib/codec.ts";
import { cleanUp, stateOf, temporaryFolder, userRow, writeBackup } from "../backup/folders.ts";
import { FakeKvError, World } from "./world.ts";

afterAll(cleanUp);

/** Rows as they stand in a chunk (leveldb/row-chunk.ts). */
function chunkOf(rows: readonly StateRow[]): Bytes {
  const writer = new ByteWriter();
  for (const { key, value, created, modified, count } of rows) {
    const fixed = { isTombstone: false, isComplete: true, lease: 0, expiry: 0 };
    const record = encodeRecord({ ...fixed, created, count, value });
    writer.varint(modified);
    writer.varint(key.length);
    writer.varint(record.length);
    writer.raw(key);
    writer.raw(record);
  }
  return writer.take();
}

const users = [userRow("a", "1", 7), userRow("b", "22", 100, 60)];

/** A world whose cluster has this state, which comes in these chunks. */
function worldWith(chunks: readonly Bytes[], rowCount: number | undefined, failure?: Error): World {
  const world = new World();
  world.client.source = sourceOf(chunks, rowCount, failure);
  return world;
}

function sourceOf(chunks: readonly Bytes[], rowCount: number | undefined, failure?: Error): SnapshotSource {
  return {
    clusterId: "00000000000000c1",
    index: 40,
    term: 3,
    bytes: 1000,
    rowCount,
    async *[Symbol.asyncIterator]() {
      yield* chunks;
      if (failure !== undefined) throw failure;
    },
  };
}

const chunks = [chunkOf(stateOf(users).slice(0, 2)), chunkOf([]), chunkOf(stateOf(users).slice(2))];

describe("snapshot save", () => {
  test("writes the leader's fresh state into a file, and says what is in it", async () => {
    const path = join(temporaryFolder(), "file");
    const world = worldWith(chunks, 5);
    expect(await world.run("snapshot", "save", path)).toEqual({
      status: 0,
      out: `saved 2 keys (5 bytes) at revision 100, entry 40 of term 3, in "${path}"\n`,
      err: "",
    });
    expect(world.client.snapshots).toEqual([{ fresh: true }]);
    const { status, out } = await world.run("snapshot", "inspect", path);
    expect({ status, out: out.replace(/made: .*/, "made: ...").replace(/: \w{64}/, ": ...") }).toEqual({
      status: 0,
      out: [
        "cluster: 00000000000000c1",
        "state: revision 100, entry 40 of term 3",
        "content: 2 keys, 5 bytes",
        "made: ...",
        "checksum: ..., whole",
        "",
      ].join("\n"),
    });
    const { err } = await world.run("snapshot", "inspect", path, "-o", "json");
    expect(err).toBe("");
  });

  test("reads the node that is named, and shows how far it is on a terminal", async () => {
    const path = join(temporaryFolder(), "file");
    const world = worldWith(chunks, 5);
    world.stderr.isTerminal = true;
    const { out, err } = await world.run("snapshot", "save", path, "--server", "h:7", "-o", "json");
    expect(JSON.parse(out)).toMatchObject({ file: path, keys: 2, bytes: 5, index: 40, revision: 100 });
    expect(err).toStartWith("\r\x1b[Ksaving: ");
    expect(err).toEndWith("B of about 1000B\r\x1b[K");
    expect(world.client.snapshots).toEqual([{ fresh: true, from: { host: "h", port: 7 } }]);
  });

  test("overwrites nothing, and asks no server for anything then", async () => {
    const path = join(temporaryFolder(), "file");
    writeFileSync(path, "mine");
    const world = worldWith(chunks, 5);
    expect(await world.run("snapshot", "save", path)).toEqual({
      status: 2,
      out: "",
      err: `kvraft: Cannot write the backup "${path}": the file exists, and no backup is ever overwritten; choose another name\n`,
    });
    expect(readFileSync(path, "utf8")).toBe("mine");
    expect(world.opened).toBeUndefined();
  });

  const failing: [name: string, world: () => World, status: number, message: string][] = [
    [
      "the snapshot is gone",
      () => worldWith(chunks.slice(0, 1), undefined, new FakeKvError("not-done", "it is gone; begin again")),
      3,
      "it is gone; begin again",
    ],
    ["rows are missing", () => worldWith(chunks, 6), 2, "5 rows have come, and it has 6"],
    ["a chunk is no chunk", () => worldWith([Uint8Array.of(1, 2, 3)], 1), 2, "Cannot back up the state: "],
    ["there is no meta record", () => worldWith([chunkOf(users)], 2), 2, "Cannot back up the state: "],
  ];
  for (const [name, makeWorld, status, message] of failing)
    test(`leaves nothing when ${name}: status ${status}`, async () => {
      const folder = temporaryFolder();
      const result = await makeWorld().run("snapshot", "save", join(folder, "file"));
      expect(result).toMatchObject({ status, out: "", err: expect.stringContaining(message) });
      expect(readdirSync(folder)).toEqual([]);
    });

  test("is told how to be called", async () => {
    const world = new World();
    for (const [args, message] of [
      [["f", "--server", "x"], '--server is "x", must be host:port'],
      [["f", "--server", "h:1", "--data-dir", "d"], "--server and --data-dir exclude each other"],
      [["f", "--uncommitted"], "--uncommitted is for --data-dir"],
      [[""], 'snapshot save found "", wanted the name of a file'],
      [["f", "--data-dir", "/no/such"], 'Cannot back up "/no/such": there is no such folder'],
    ] as const) {
      const { status, err } = await world.run("snapshot", "save", ...args);
      expect([status, err]).toEqual([2, expect.stringContaining(message)]);
    }
  });
});

describe("snapshot inspect and restore", () => {
  const config = (dataDir: string) =>
    toUtf8(`{me: 0, servers: [{ip: 127.0.0.1, port: 5991}], dataDir: ${JSON.stringify(dataDir)}}`);

  test("restore makes a folder, once", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "file");
    writeBackup(path, users);
    const world = new World();
    world.files.set("n.yml", config(join(folder, "data")));
    const made = await world.run("snapshot", "restore", path, "n.yml");
    expect(made).toMatchObject({ status: 0, err: "" });
    expect(made.out).toMatch(
      /^prepared ".*data" with 2 keys at revision 4294967396, for place 0 of 1; start the server\n$/,
    );
    expect(await world.run("snapshot", "restore", path, "n.yml")).toMatchObject({
      status: 2,
      err: `kvraft: Cannot restore into "${folder}/data": the folder is not empty; move what is there away, or name another one by --data-dir. One server of a cluster that lives is never restored: empty its folder and start it with --join\n`,
    });
    const other = [`--data-dir=${folder}/other/`, "-o", "json"];
    const { out } = await world.run("snapshot", "restore", path, "n.yml", ...other);
    expect(JSON.parse(out)).toMatchObject({
      dataDir: `${folder}/other`,
      me: 0,
      servers: 1,
      keys: 2,
      revision: 100 + 2 ** 32,
    });
    // No id is told: there is none before the cluster is formed.
    expect(Object.keys(JSON.parse(out)).sort()).toEqual([
      "checksum",
      "dataDir",
      "keys",
      "me",
      "revision",
      "servers",
    ]);
    expect(await world.run("snapshot", "restore", path, "n.yml", "--token", "drill")).toMatchObject({
      status: 2,
    });
  });

  test("a damaged backup is told with status 1, and nothing is written", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "file");
    writeBackup(path, users);
    const bytes = readFileSync(path);
    const at = bytes.lastIndexOf("22");
    bytes.write("23", at);
    writeFileSync(path, bytes);
    const world = new World();
    world.files.set("n.yml", config(join(folder, "data")));
    const err = `kvraft: Cannot use the backup "${path}": its checksum fails; it is damaged, use another one\n`;
    expect(await world.run("snapshot", "inspect", path)).toEqual({ status: 1, out: "", err });
    expect(await world.run("snapshot", "restore", path, "n.yml")).toEqual({ status: 1, out: "", err });
    writeFileSync(path, "text");
    expect(await world.run("snapshot", "inspect", path)).toMatchObject({
      status: 1,
      err: `kvraft: Cannot read the backup "${path}": it is damaged, or no backup (file is not a database); use another one\n`,
    });
    expect(existsSync(join(folder, "data"))).toBe(false);
  });

  test("a missing file or configuration is told with status 2", async () => {
    const world = new World();
    expect(await world.run("snapshot", "inspect", "/no/such")).toEqual({
      status: 2,
      out: "",
      err: 'kvraft: Cannot read the backup "/no/such": there is no such file\n',
    });
    expect(await world.run("snapshot", "restore", "/no/such", "n.yml")).toMatchObject({
      status: 2,
      err: 'kvraft: Cannot read the configuration "n.yml": there is no such file\n',
    });
    world.files.set("n.yml", config("/no/such/data"));
    expect(await world.run("snapshot", "restore", "/no/such", "n.yml")).toMatchObject({ status: 2 });
  });
});
