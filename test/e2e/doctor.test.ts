import { afterAll, beforeAll, expect, test } from "bun:test";
import { cpSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BunDisk } from "../../src/env/bun-disk.ts";
import { runPath } from "../../src/leveldb/folder-names.ts";
import { filesOf, readManifest } from "../../src/leveldb/manifest.ts";
import { kvraft } from "./binary.ts";
import { Cluster } from "./cluster.ts";
import { readSegments } from "./log-files.ts";
import { cleanUp, temporaryFolder } from "./processes.ts";

// `kvraft doctor` on the folder of a real server: while it runs, after it was stopped, after kill -9, and damaged.

let cluster: Cluster;
/** The folder after an orderly stop, with several runs; each test works on a copy. */
let stopped: string;
let killed: string;

beforeAll(async () => {
  cluster = await Cluster.start({ nodes: 1, limits: { memtableBytes: "64KiB" } });
  const client = cluster.client();
  for (let at = 0; at < 60; at++) await client.put(`key ${at}`, "v".repeat(4000));
  await cluster.kill9(0);
  killed = join(temporaryFolder(), "killed");
  cpSync(cluster.dataDir(0), killed, { recursive: true });
  cluster.restart(0);
  await cluster.awaitLeader();
  expect(await cluster.stop(0)).toBe(0);
  stopped = join(temporaryFolder(), "stopped");
  cpSync(cluster.dataDir(0), stopped, { recursive: true });
}, 60_000);

afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
  await cleanUp();
});

function copyOf(folder: string): string {
  const copy = join(temporaryFolder(), "data");
  cpSync(folder, copy, { recursive: true });
  return copy;
}

function flip(path: string, offset: number): void {
  const bytes = readFileSync(path);
  bytes[offset] = bytes[offset]! ^ 0x10;
  writeFileSync(path, bytes);
}

/** Content of all files but those of the locks, by name. */
function contentOf(folder: string): Map<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter(
    (item) => item.isFile() && !item.name.startsWith("LOCK"),
  );
  const paths = files.map(({ parentPath, name }) => join(parentPath, name)).sort();
  return new Map(paths.map((path) => [path, Bun.hash(readFileSync(path)).toString(16)]));
}

test("what a server wrote is whole, stopped in order or killed, and nothing of it is changed", async () => {
  for (const folder of [copyOf(stopped), copyOf(killed)]) {
    const before = contentOf(folder);
    const { code, stdout, stderr } = await kvraft(["doctor", folder]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(
      /^identity: node [0-9a-f]{16} of cluster [0-9a-f]{16}, formed, place 0 of 1\nlog: entries 1 to /,
    );
    expect(stdout).toEndWith(`"${folder}" is whole\n`);
    expect(contentOf(folder)).toEqual(before);
    const json = await kvraft(["doctor", "-o", "json", folder]);
    expect(JSON.parse(json.stdout)).toMatchObject({ ok: true, findings: [], identity: { state: "formed" } });
    expect(JSON.parse(json.stdout).store.files).toBeGreaterThan(1);
  }
}, 60_000);

test("a torn tail is a note, and the next start cuts it", async () => {
  const folder = copyOf(killed);
  const segment = readSegments(folder).at(-1)!;
  truncateSync(join(folder, "log", segment.name), segment.groups.at(-1)!.offset + 10);
  const { code, stdout } = await kvraft(["doctor", folder]);
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /\nnote: ".*\.log" has a torn tail of \d+ bytes at byte \d+: the next start cuts it off/,
  );
}, 60_000);

test("damage in the log, in a run and in MANIFEST is told, file by file, with status 1", async () => {
  const folder = copyOf(stopped);
  const [segment] = readSegments(folder);
  const group = segment!.groups[2]!;
  const log = join(folder, "log", segment!.name);
  flip(log, group.offset + 40);
  const store = join(folder, "store");
  const runs = filesOf(readManifest(new BunDisk(), store)).map(({ number }) => runPath(store, number));
  // The first one in a file may stand in space that SQLite has left unused.
  const placeIn = (path: string) => readFileSync(path).lastIndexOf("v".repeat(200));
  const first = runs.find((path) => placeIn(path) > 0)!;
  const second = runs.find((path) => path !== first)!;
  flip(first, placeIn(first));
  rmSync(second);
  const { code, stdout, stderr } = await kvraft(["doctor", folder]);
  expect({ code, stderr }).toEqual({ code: 1, stderr: "" });
  expect(stdout).toContain(
    `wrong: "${log}" at byte ${group.offset}: found a group whose checksum is wrong; wanted group `,
  );
  expect(stdout).toMatch(
    new RegExp(`wrong: "${first}" block \\d+: found the checksum does not match; wanted `),
  );
  expect(stdout).toContain(
    `wrong: "${second}": found no such file; wanted the file that MANIFEST names; replace this node`,
  );
  expect(stdout).toEndWith(`3 findings in "${folder}"; nothing was changed\n`);
  const manifest = join(folder, "store/MANIFEST");
  flip(manifest, 30);
  const without = await kvraft(["doctor", folder]);
  expect(without.code).toBe(1);
  expect(without.stdout).toContain(
    `wrong: "${manifest}": found its checksum does not match; wanted a whole MANIFEST`,
  );
}, 60_000);

test("a folder that a server uses is left alone, with status 2", async () => {
  cluster.restart(0);
  await cluster.awaitLeader();
  const folder = cluster.dataDir(0);
  const { code, stdout, stderr } = await kvraft(["doctor", folder]);
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(stderr).toBe(
    `kvraft: Cannot check "${folder}": another process uses it; stop the server that has it as its dataDir, and try again\n`,
  );
  expect(await cluster.stop(0)).toBe(0);
  expect((await kvraft(["doctor", folder])).code).toBe(0);
  const parent = await kvraft(["doctor", cluster.folder]);
  expect(parent.code).toBe(2);
  expect(parent.stderr).toContain("it is no node's data folder");
}, 60_000);
