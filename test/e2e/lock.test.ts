import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, chownSync, existsSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { binary, cleanEnvironment } from "./binary.ts";
import { Cluster } from "./cluster.ts";
import { atEnd, cleanUp, temporaryFolder } from "./processes.ts";

// A lock that would exclude nobody is no lock: two servers on one folder would both lead, and lose writes.

afterAll(cleanUp);

const nobody = 65_534;
const isRoot = process.getuid?.() === 0;
if (!isRoot) process.stdout.write("Skipped: locks of another user, and read-only disks; both take root\n");

function run(...command: string[]): { code: number; text: string } {
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { env: cleanEnvironment() });
  return { code: exitCode, text: `${stdout}${stderr}` };
}

const asNobody = ["setpriv", `--reuid=${nobody}`, "--clear-groups"];

/** A cluster of one server that has run, and its folder. */
async function stoppedCluster(dataDir?: string): Promise<Cluster> {
  const cluster = await Cluster.start({ nodes: 1, ...(dataDir && { dataDir: () => dataDir }) });
  await cluster.client().put("a", "1");
  expect(await cluster.stop(0)).toBe(0);
  return cluster;
}

/** Each command that takes the lock of a data folder: its status must be 2, and its message this. */
function expectRefused(cluster: Cluster, wrapper: readonly string[], message: RegExp): void {
  const folder = cluster.dataDir(0);
  const backup = join(cluster.folder, "backup");
  for (const command of [
    ["server", cluster.servers[0]!.configPath],
    ["doctor", folder],
    ["snapshot", "save", backup, "--data-dir", folder],
  ]) {
    const { code, text } = run(...wrapper, binary, ...command);
    expect(text).toMatch(message);
    expect({ command, code }).toEqual({ command, code: 2 });
  }
  expect(existsSync(backup)).toBe(false);
}

describe.if(isRoot)("a lock file that this user may not write", () => {
  test.each(["LOCK", "store/LOCK"])(
    "%s of root with mode 0444: nothing starts on the folder",
    async (name) => {
      await using cluster = await stoppedCluster();
      const folder = cluster.dataDir(0);
      run("chmod", "755", cluster.folder, join(cluster.folder, "data"));
      run("chown", "-R", String(nobody), folder);
      chownSync(join(folder, name), 0, 0);
      chmodSync(join(folder, name), 0o444);
      const server = run(...asNobody, binary, "server", cluster.servers[0]!.configPath);
      expect(server.text).toContain(
        `Cannot lock "${join(folder, name)}": it belongs to user 0 with mode 0444, and this process (user ${nobody}) may ` +
          "not write it, so the lock would exclude nobody; run as the user that owns the data folder, or give this user the " +
          "whole folder (chown -R)",
      );
      expect(server.code).toBe(2);
      if (name === "LOCK") expectRefused(cluster, asNobody, /Cannot lock ".*LOCK": it belongs to user 0/);
      run("chown", "-R", String(nobody), folder);
      chmodSync(join(folder, name), 0o644);
      expect(run(...asNobody, binary, "doctor", folder)).toMatchObject({ code: 0 });
    },
    30_000,
  );

  test("on a read-only disk: the message says to copy the folder", async () => {
    const disk = temporaryFolder();
    if (run("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", disk).code !== 0) return;
    atEnd(() => run("umount", "-l", disk));
    await using cluster = await stoppedCluster(join(disk, "data"));
    expect(run("mount", "-o", "remount,ro", disk).code).toBe(0);
    expectRefused(cluster, [], /LOCK": its file system is read-only, .* use a copy of the whole folder/);
  }, 30_000);
});

test("a lock file that is a link, and one that somebody wrote into, are named with what to do", async () => {
  await using cluster = await stoppedCluster();
  const lock = join(cluster.dataDir(0), "LOCK");
  rmSync(lock);
  symlinkSync(join(cluster.folder, "elsewhere"), lock);
  expectRefused(cluster, [], /LOCK": it is a symbolic link, and must be an ordinary file; .* remove it/);
  rmSync(lock);
  writeFileSync(lock, "4711\n");
  expectRefused(cluster, [], /LOCK": it has 5 bytes, and a lock file of kvraft is empty; .* remove it/);
  rmSync(lock);
  cluster.restart(0);
  await cluster.awaitLeader();
}, 30_000);

test("a lock file that was removed under a running server lets no other one touch the folder's log or store", async () => {
  await using cluster = await Cluster.start({ nodes: 1 });
  await cluster.client().put("a", "1");
  const folder = cluster.dataDir(0);
  const listing = () => run("sh", "-c", `cd ${folder} && ls log store && cat identity | sha256sum`).text;
  rmSync(join(folder, "LOCK"));
  const before = listing();
  // The same folder, at another port.
  const other = new Cluster({ nodes: 1, dataDir: () => folder });
  const second = run("timeout", "10", binary, "server", other.servers[0]!.configPath);
  expect(second.code).toBe(2);
  expect(second.text).toContain("is locked by another process");
  expect(listing()).toBe(before);
  await cluster.client().put("b", "2");
}, 30_000);
