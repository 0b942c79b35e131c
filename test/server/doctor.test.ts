import { describe, expect, test } from "bun:test";
import type { CheckEnv } from "../../src/leveldb/check-store.ts";
import { filesOf, readManifest, writeManifest } from "../../src/leveldb/manifest.ts";
import { concatBytes } from "../../src/lib/bytes.ts";
import { KvraftError, replaceNodeAdvice } from "../../src/lib/error.ts";
import type { NodeId } from "../../src/raft/types.ts";
import { type Diagnosis, examineDataFolder } from "../../src/server/doctor.ts";
import { readIdentity, writeIdentity } from "../../src/server/identity.ts";
import { membersOf } from "../../src/server/members.ts";
import { MemoryTables } from "../leveldb/memory-tables.ts";
import type { CrashDisk, Fate } from "../raftlog/crash-disk.ts";
import { World } from "./world.ts";

// Goal: what a node has written is whole to the doctor, however the node ended, and what damage does to any part of the
// folder is told. Method: real nodes on disks in memory, and bytes changed behind their backs.

const folder = "data";

function examine(disk: CrashDisk): Diagnosis {
  const env: CheckEnv = { disk, tables: new MemoryTables(disk) };
  const before = disk.snapshot();
  const { operations } = disk;
  const steps = examineDataFolder(env, folder);
  for (let step = steps.next(); ; step = steps.next()) {
    if (!step.done) continue;
    expect(disk.snapshot()).toEqual(before);
    expect(disk.operations).toBe(operations);
    return step.value;
  }
}

/** File and what was found, of each finding. */
function briefly(disk: CrashDisk): string[] {
  return examine(disk).findings.map(({ file, found }) => `${file}: ${found}`);
}

/** A world whose nodes have flushed more than once. */
async function filledWorld(count: number, seed = 1): Promise<World> {
  const world = new World(count, seed, { memtableBytes: 3000, segmentBytes: 20_000 });
  world.start();
  await world.until(() => world.leader !== undefined, "a leader");
  const client = world.client();
  for (let at = 0; at < 40; at++) await world.wait(client.put(`key ${at % 15}`, `${at} ${"v".repeat(300)}`));
  await world.wait(client.delete("key 3"));
  return world;
}

const stopped = await (async () => {
  const world = await filledWorld(1);
  await world.stop();
  return world.machines[0]!.disk;
})();

function flip(disk: CrashDisk, path: string, offset: number): void {
  disk.raw(path)[offset]! ^= 0x10;
}

function pathsOf(disk: CrashDisk, part: string, ending: string): string[] {
  return disk
    .list(`${folder}/${part}`)
    .filter((name) => name.endsWith(ending))
    .map((name) => `${folder}/${part}/${name}`);
}

describe("a whole folder", () => {
  test("of a node that was stopped is summed up", () => {
    const diagnosis = examine(stopped);
    expect(diagnosis).toMatchObject({ ok: true, findings: [] });
    const { identity, log, store } = diagnosis;
    expect(identity).toEqual(readIdentity(stopped, folder));
    expect(log).toMatchObject({ firstIndex: 1, hardState: { term: 2 } });
    const manifest = readManifest(stopped, `${folder}/store`);
    expect(store).toMatchObject({ applied: { index: log!.lastIndex }, files: filesOf(manifest).length });
    expect(store!.files).toBeGreaterThan(1);
  });

  for (const fate of ["lost", "kept", "torn"] as const satisfies Fate[])
    test(`is what power cuts leave (${fate})`, async () => {
      for (let seed = 1; seed <= 3; seed++) {
        const world = await filledWorld(3, seed);
        const client = world.client(500);
        for (let at = 0; at < 12; at++) {
          void client.put(`late ${at}`, "v".repeat(200)).catch(() => {});
          await world.run(world.prng.int(0, 3));
        }
        for (const machine of world.machines) {
          machine.crash(fate);
          expect(briefly(machine.disk)).toEqual([]);
        }
      }
    });

  test("of a node that no cluster was formed with is whole, too", async () => {
    const world = new World(3);
    world.machines[1]!.start();
    await world.run(50);
    await world.machines[1]!.stop();
    const { ok, identity, log, store } = examine(world.machines[1]!.disk);
    expect([ok, identity?.state, log, store]).toEqual([true, "alone", undefined, undefined]);
  });

  test("may have a torn tail and leftovers, which are notes", () => {
    const disk = stopped.copy();
    const segment = pathsOf(disk, "log", ".log").at(-1)!;
    const bytes = disk.raw(segment);
    disk.replace(segment, concatBytes([bytes, new Uint8Array(40), Uint8Array.of(1, 2, 3)]));
    for (const path of [`${folder}/store/000999.run`, `${folder}/store/MANIFEST.new`, `${segment}.tmp`])
      disk.replace(path, new Uint8Array(5));
    const { ok, notes } = examine(disk);
    expect(ok).toBe(true);
    expect(notes).toEqual([
      expect.stringMatching(
        /^".*\.log" has a torn tail of 43 bytes at byte \d+: the next start cuts it off, /,
      ),
      `1 file left over from what was cut off or replaced, which the next start removes: "${segment}.tmp"`,
      expect.stringMatching(
        /^2 files left over from what was cut off or replaced, which the next start removes: "data\/store\//,
      ),
    ]);
  });
});

describe("damage", () => {
  test("in every part at once is all told, with what to do", () => {
    const disk = stopped.copy();
    const [segment] = pathsOf(disk, "log", ".log");
    const runs = pathsOf(disk, "store", ".run");
    flip(disk, `${folder}/identity`, 12);
    flip(disk, segment!, 4096 + 40);
    flip(disk, runs[0]!, 30);
    disk.remove(runs[1]!);
    const { ok, findings, identity, log, store } = examine(disk);
    expect([ok, identity]).toEqual([false, undefined]);
    expect([...new Set(findings.map(({ file }) => file))].toSorted()).toEqual(
      [`${folder}/identity`, segment!, runs[0]!, runs[1]!].toSorted(),
    );
    for (const { advice } of findings) expect(advice).toBe(replaceNodeAdvice);
    // What is whole beside it is shown all the same.
    expect(store!.rows).toBeGreaterThan(10);
    expect(log!.segments).toBe(pathsOf(disk, "log", ".log").length);
  });

  test("to any file of the folder is told", () => {
    // The oldest segment is one that might have been dropped: the store has all of it.
    const [, ...segments] = pathsOf(stopped, "log", ".log");
    const isOldest = (path: string) => path.endsWith(".log") && !segments.includes(path);
    const files = [...stopped.snapshot().keys()].filter((path) => !path.endsWith("LOCK") && !isOldest(path));
    expect(files.length).toBeGreaterThan(5);
    for (const path of files) {
      const missing = stopped.copy();
      missing.remove(path);
      expect(briefly(missing).length, `without ${path}`).toBeGreaterThan(0);
      for (const offset of [0, 9, 25]) {
        const damaged = stopped.copy();
        flip(damaged, path, offset);
        const found = examine(damaged).findings.map(({ file }) => file);
        expect([...new Set(found)], `byte ${offset} of ${path}`).toEqual([path]);
      }
    }
  });

  test("a log that ends before what the store has applied, or has it in another term", () => {
    const shorter = stopped.copy();
    const segments = pathsOf(shorter, "log", ".log");
    expect(segments.length).toBeGreaterThan(1);
    for (const path of segments.slice(1)) shorter.remove(path);
    expect(briefly(shorter)).toEqual([
      expect.stringMatching(/^data\/log: no entry \d+: it ends at entry \d+$/),
    ]);
    const other = stopped.copy();
    const manifest = readManifest(other, `${folder}/store`);
    writeManifest(other, `${folder}/store`, { ...manifest, applied: { ...manifest.applied, term: 9 } });
    const { index } = manifest.applied;
    const [finding] = examine(other).findings;
    expect(finding).toMatchObject({
      file: "data/log",
      found: `entry ${index} of term 2`,
      wanted: `entry ${index} of term 9, which "data/store/MANIFEST" says was applied`,
    });
  });

  test("an identity that is another node's, or not that of this log", () => {
    const identity = readIdentity(stopped, folder)!;
    const foreign = stopped.copy();
    const nodeId = "00000000000000ff" as NodeId;
    writeIdentity(foreign, folder, {
      ...identity,
      nodeId,
      members: membersOf([{ ...identity.members.list[0]!, nodeId }], []),
    });
    const { findings } = examine(foreign);
    expect(findings.length).toBe(pathsOf(foreign, "log", ".log").length);
    for (const { code, advice } of findings) {
      expect(code).toBe("IDENTITY");
      expect(advice).toStartWith("use the folder as a whole");
    }
    const moved = stopped.copy();
    const members = membersOf([{ ...identity.members.list[0]!, address: "other:1" }], []);
    writeIdentity(moved, folder, { ...identity, members });
    expect(briefly(moved)).toEqual(["data/log: another first entry"]);
    const misplaced = stopped.copy();
    writeIdentity(misplaced, folder, { ...identity, place: 1 });
    expect(briefly(misplaced)).toEqual(["data/identity: node none in place 1 of its members"]);
    const alone = stopped.copy();
    writeIdentity(alone, folder, { ...identity, state: "alone" });
    expect(briefly(alone)).toContain("data/log: a log beside an identity that knows of no cluster");
  });
});

describe("a folder that cannot be examined", () => {
  const failureOf = (env: CheckEnv, at: string): KvraftError => {
    try {
      examineDataFolder(env, at).next();
    } catch (error) {
      if (error instanceof KvraftError) return error;
      throw error;
    }
    throw new Error("it was examined");
  };

  test("is not there, is none, or is in use", () => {
    const disk = stopped.copy();
    const env = { disk, tables: new MemoryTables(disk) };
    expect(failureOf(env, "other")).toMatchObject({ code: "NOT_FOUND" });
    expect(failureOf(env, "other").message).toStartWith(
      'Cannot check "other": there is no such folder; name ',
    );
    disk.lock = () => undefined;
    expect(failureOf(env, folder).code).toBe("LOCKED");
    expect(failureOf(env, folder).message).toBe(
      'Cannot check "data": another process uses it; stop the server that has it as its dataDir, and try again',
    );
  });

  test("keeps its lock until the end, and no longer", () => {
    const disk = stopped.copy();
    let held = 0;
    disk.lock = () => {
      held++;
      return { release: () => void held-- };
    };
    const env = { disk, tables: new MemoryTables(disk) };
    const steps = examineDataFolder(env, folder);
    expect(held).toBe(0);
    while (!steps.next().done) expect(held).toBe(1);
    expect(held).toBe(0);
    const abandoned = examineDataFolder(env, folder);
    abandoned.next();
    abandoned.return(examine(stopped));
    expect(held).toBe(0);
  });
});
