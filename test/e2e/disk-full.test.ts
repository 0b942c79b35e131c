import { afterAll, describe, expect, test } from "bun:test";
import { cpSync, existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { KVError } from "../../src/client/kv-client.ts";
import { Cluster } from "./cluster.ts";
import { atEnd, cleanUp, temporaryFolder } from "./processes.ts";
import { until } from "./wait.ts";

// The disk has no room for the log, or refuses a write: the node stops with a clear last word (status 1), what it
// acknowledged is there, and with room again it goes on.

afterAll(cleanUp);

function run(...command: string[]): boolean {
  try {
    return Bun.spawnSync(command).exitCode === 0;
  } catch {
    return false;
  }
}

/** A file system of its own, of this size; undefined where that takes rights we do not have. */
function mountTmpfs(size: string): string | undefined {
  const folder = temporaryFolder();
  if (!run("mount", "-t", "tmpfs", "-o", `size=${size}`, "tmpfs", folder)) return undefined;
  atEnd(() => run("umount", "-l", folder));
  return folder;
}

const canMount = (() => {
  const folder = mountTmpfs("1m");
  if (folder !== undefined) run("umount", folder);
  return folder !== undefined;
})();
if (!canMount) process.stdout.write("Skipped: a full disk; mounting a tmpfs takes root\n");

/** Puts until the node is gone; yields the numbers of those that were acknowledged. */
async function putUntilItEnds(cluster: Cluster, valueBytes: number): Promise<number[]> {
  const client = cluster.client({ timeoutMs: 500 });
  const acknowledged: number[] = [];
  for (let number = 0; cluster.servers[0]!.isRunning && number < 10_000; number++) {
    try {
      await client.put(`key ${number}`, String(number).padStart(valueBytes, "."));
      acknowledged.push(number);
    } catch (error) {
      expect(error).toBeInstanceOf(KVError);
    }
  }
  return acknowledged;
}

async function expectAll(cluster: Cluster, numbers: readonly number[], valueBytes: number): Promise<void> {
  const client = cluster.client();
  for (const number of numbers)
    expect(await client.get(`key ${number}`)).toBe(String(number).padStart(valueBytes, "."));
  await client.put("room", "again");
  expect(await client.get("room")).toBe("again");
}

describe("a node whose log cannot be written stops with status 1 and a clear last word, and recovers", () => {
  test.if(canMount)(
    "the disk is full",
    async () => {
      const disk = mountTmpfs("16m")!;
      await using cluster = await Cluster.start({ nodes: 1, dataDir: () => join(disk, "data") });
      const acknowledged = await putUntilItEnds(cluster, 50_000);
      expect(await cluster.servers[0]!.ended()).toBe(1);
      const lastWord = cluster.logOf(0).trimEnd().split("\n").at(-1)!;
      expect(lastWord).toMatch(/Cannot .*"\/.*data.*": .*(no space|full|ENOSPC)/i);
      expect(cluster.logOf(0)).not.toContain("bug in kvraft");
      expect(acknowledged.length).toBeGreaterThan(50);

      // Still full: it says so, or starts and stops again; it loses nothing by trying.
      cluster.restart(0);
      await until(
        "it gives up or works",
        async () => !cluster.servers[0]!.isRunning || (await cluster.leader()) === 0,
      );
      await cluster.kill9(0);
      expect(cluster.logOf(0)).not.toContain("bug in kvraft");

      expect(run("mount", "-o", "remount,size=256m", disk)).toBe(true);
      cluster.restart(0);
      await cluster.awaitLeader();
      await expectAll(cluster, acknowledged, 50_000);
    },
    40_000,
  );

  test.if(canMount)(
    "the disk of one of three is full: the others go on",
    async () => {
      const disk = mountTmpfs("12m")!;
      const ordinary = temporaryFolder();
      await using cluster = await Cluster.start({
        dataDir: (index) => join(index === 0 ? disk : ordinary, `server${index + 1}`),
      });
      const client = cluster.client({ timeoutMs: 10_000 });
      for (let number = 0; number < 500; number++)
        await client.put(`key ${number}`, String(number).padStart(50_000, "."));
      expect(await cluster.servers[0]!.ended()).toBe(1);
      expect(run("mount", "-o", "remount,size=256m", disk)).toBe(true);
      cluster.restart(0);
      await cluster.awaitEqual();
    },
    40_000,
  );

  test.if(canMount)(
    "the disk is full of what the node itself has left over: it removes that first, and serves",
    async () => {
      const disk = mountTmpfs("48m")!;
      await using cluster = await Cluster.start({ nodes: 1, dataDir: () => join(disk, "data") });
      await cluster.client().put("kept", "safe");
      await cluster.kill9(0);
      const data = cluster.dataDir(0);
      // Files of a merge that was cut off by the kill.
      const leftovers = ["000900.run", "000901.run"].map((name) => join(data, "store", name));
      for (const path of leftovers) writeFileSync(path, new Uint8Array(8 * 1024 * 1024));
      run("dd", "if=/dev/zero", `of=${join(disk, "filler")}`, "bs=4096");
      expect(() => writeFileSync(join(disk, "more"), "more")).toThrow("ENOSPC");
      rmSync(join(disk, "more"), { force: true });
      cluster.restart(0);
      await cluster.awaitLeader();
      for (const path of leftovers) expect(existsSync(path)).toBe(false);
      await expectAll(cluster, [], 0);
      expect(await cluster.client().get("kept")).toBe("safe");
      expect(await cluster.stop(0)).toBe(0);
    },
    40_000,
  );

  test("a file may grow no further", async () => {
    // The limit of a file's size stands for every other failure of a write. Its signal is ignored, as a write that
    // fails on a broken disk brings none. 4 or 8 MiB: shells count blocks of 512 or 1024 bytes.
    const wrapper = ["sh", "-c", 'trap "" XFSZ; ulimit -f 8192; exec "$@"', "sh"];
    await using cluster = await Cluster.start({ nodes: 1, wrapper });
    const acknowledged = await putUntilItEnds(cluster, 50_000);
    expect(await cluster.servers[0]!.ended()).toBe(1);
    const lastWord = cluster.logOf(0).trimEnd().split("\n").at(-1)!;
    expect(lastWord).toMatch(/Cannot .*"\/.*data.*": .*(too large|EFBIG)/i);
    expect(acknowledged.length).toBeGreaterThan(10);
    const copy = join(temporaryFolder(), "data");
    cpSync(cluster.dataDir(0), copy, { recursive: true });
    expect(existsSync(join(copy, "identity"))).toBe(true);
    await using free = new Cluster({ nodes: 1, dataDir: () => copy });
    free.restart(0);
    await free.awaitLeader();
    await expectAll(free, acknowledged, 50_000);
  }, 40_000);
});
