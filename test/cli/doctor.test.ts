/** `kvraft doctor` on real folders: what it prints, with which status, and that it leaves everything as it was. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultLimits, defaultTimings, type ServerConfig } from "../../src/config/config.ts";
import { BunDisk } from "../../src/env/bun-disk.ts";
import { SqliteTables } from "../../src/env/sqlite-tables.ts";
import { LevelDB } from "../../src/leveldb/level-db.ts";
import { toUtf8 } from "../../src/lib/bytes.ts";
import { replaceNodeAdvice } from "../../src/lib/error.ts";
import type { NodeId } from "../../src/raft/types.ts";
import { createBoots, DataFolder } from "../../src/server/data-folder.ts";
import { type Identity, writeIdentity } from "../../src/server/identity.ts";
import { membersOf } from "../../src/server/members.ts";
import { MemoryWorkers } from "../leveldb/memory-workers.ts";
import { World } from "./world.ts";

const root = mkdtempSync(join(tmpdir(), "kvraft-doctor-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const whole = join(root, "whole");
const disk = new BunDisk();
const nodeId = "00000000000000a1" as NodeId;
const identity: Identity = {
  state: "formed",
  place: 0,
  nodeId,
  clusterId: "00000000000000c1",
  members: membersOf([{ nodeId, address: "127.0.0.1:5001", role: "voter" }], []),
  origin: undefined,
};

/** A node's folder as it is after its first entry and one flush. */
beforeAll(async () => {
  const tables = new SqliteTables();
  const config = { dataDir: whole, limits: defaultLimits, timings: defaultTimings } as ServerConfig;
  const env = { disk, tables, workers: new MemoryWorkers({ disk, tables }), random32: () => 1 };
  disk.createFolder(whole);
  createBoots(disk, whole);
  writeIdentity(disk, whole, identity);
  const data = new DataFolder(
    env as unknown as ConstructorParameters<typeof DataFolder>[0],
    config,
    identity,
    () => {},
  );
  await new Promise<void>((resolve, reject) =>
    data.bootstrap(identity, (error) => (error ? reject(error) : resolve())),
  );
  data.close();
  const store = LevelDB.open(env, data.storeFolder, { createIfMissing: true });
  for (let at = 0; at < 50; at++) store.put(toUtf8(`kkey ${at}`), new Uint8Array(300).fill(at), 1);
  store.flush({ index: 1, term: 1 });
  store.close();
});

function copyOf(name: string): string {
  const folder = join(root, name);
  cpSync(whole, folder, { recursive: true });
  return folder;
}

function flip(path: string, offset: number): void {
  const bytes = readFileSync(path);
  bytes[offset]! ^= 0x10;
  writeFileSync(path, bytes);
}

/** Names, sizes, times and content of all files. */
function stateOf(folder: string): unknown[] {
  return (readdirSync(folder, { recursive: true }) as string[]).sort().map((name) => {
    const stat = statSync(join(folder, name));
    return [name, stat.size, stat.mtimeMs, stat.isFile() ? Bun.hash(readFileSync(join(folder, name))) : 0];
  });
}

test("a whole folder is summed up, and left as it was", async () => {
  const folder = copyOf("summary");
  writeFileSync(join(folder, "LOCK"), "");
  const before = stateOf(folder);
  const { status, out, err } = await new World().run("doctor", `${folder}//`);
  expect([status, err]).toEqual([0, ""]);
  expect(out).toMatch(
    new RegExp(
      [
        "^identity: node 00000000000000a1 of cluster 00000000000000c1, formed, place 0 of 1",
        "log: entries 1 to 1, term 1, 1 segment, \\d+ bytes",
        "store: sequence 1, applied entry 1 of term 1, 1 run, 1 file, 50 rows, \\d+ bytes",
        `"${folder}" is whole\n$`,
      ].join("\n"),
    ),
  );
  expect(stateOf(folder)).toEqual(before);
});

test("everything that is wrong is told, on stdout, with status 1", async () => {
  const folder = copyOf("damaged");
  const run = join(folder, "store/000001.run");
  flip(run, readFileSync(run).lastIndexOf(new Uint8Array(300).fill(7)) + 20);
  flip(join(folder, "identity"), 20);
  const { status, out, err } = await new World().run("doctor", folder);
  expect([status, err]).toEqual([1, ""]);
  const advice = replaceNodeAdvice;
  expect(out).toContain(
    `wrong: "${folder}/identity": found its checksum fails; wanted a whole identity; ${advice}\n`,
  );
  expect(out).toMatch(
    new RegExp(
      `wrong: "${run}" block \\d+: found the checksum does not match; wanted what was written there; ${advice}\n`,
    ),
  );
  expect(out).toEndWith(`2 findings in "${folder}"; nothing was changed\n`);
});

test("-o json is one object with the same", async () => {
  const folder = copyOf("json");
  const before = await new World().run("doctor", "-o", "json", folder);
  expect(before).toMatchObject({ status: 0, err: "" });
  expect(JSON.parse(before.out)).toMatchObject({
    ok: true,
    findings: [],
    notes: [],
    identity: { nodeId, state: "formed" },
    log: { firstIndex: 1, lastIndex: 1, segments: 1 },
    store: { applied: { index: 1, term: 1 }, rows: 50 },
  });
  rmSync(join(folder, "identity"));
  rmSync(join(folder, "store/000001.run"));
  const { status, out } = await new World().run("doctor", "-o", "json", folder);
  expect([status, out.indexOf("\n")]).toEqual([1, out.length - 1]);
  expect(JSON.parse(out)).toMatchObject({
    ok: false,
    findings: [
      { code: "IDENTITY", file: `${folder}/identity`, found: "no such file" },
      { code: "CORRUPTION", file: `${folder}/store/000001.run`, found: "no such file" },
    ],
    identity: null,
    store: { rows: 50 },
  });
});

test("a folder that is in use, is missing, or is none of a node is refused with status 2", async () => {
  const folder = copyOf("locked");
  const lock = disk.lock(join(folder, "LOCK"))!;
  const locked = await new World().run("doctor", folder);
  lock.release();
  expect(locked).toEqual({
    status: 2,
    out: "",
    err: `kvraft: Cannot check "${folder}": another process uses it; stop the server that has it as its dataDir, and try again\n`,
  });
  expect((await new World().run("doctor", folder)).status).toBe(0);
  const missing = await new World().run("doctor", join(root, "no"));
  expect([missing.status, missing.out]).toEqual([2, ""]);
  expect(missing.err).toStartWith(`kvraft: Cannot check "${root}/no": there is no such folder; `);
  const other = join(root, "other");
  mkdirSync(other);
  const none = await new World().run("doctor", other);
  expect([none.status, none.out]).toEqual([2, ""]);
  expect(none.err).toStartWith(`kvraft: Cannot check "${other}": it is no node's data folder: `);
  expect(readdirSync(other)).toEqual([]);
  expect((await new World().run("doctor")).status).toBe(2);
  expect((await new World().run("doctor", "")).status).toBe(2);
});

test("at a terminal the progress is shown on stderr, and wiped", async () => {
  const world = new World();
  world.stderr.isTerminal = true;
  const { out, err, status } = await world.run("doctor", copyOf("terminal"));
  expect(status).toBe(0);
  expect(err.replaceAll("\r\x1b[K", "|")).toMatch(/^(\|checking the (log|store): \d+%)+\|$/);
  expect(out).not.toContain("\r");
});
