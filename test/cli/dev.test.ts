import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BunDisk } from "../../src/env/bun-disk.ts";

const folder = mkdtempSync(join(tmpdir(), "kvraft-dev-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const main = join(import.meta.dir, "../../src/main.ts");

/** A cluster of one real server process, run from source. */
function startDev(dataDir: string) {
  return Bun.spawn([process.execPath, main, "dev", "--nodes", "1", "--data-dir", dataDir], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
  });
}

async function readUntil(stream: ReadableStream<Uint8Array>, text: string): Promise<void> {
  let seen = "";
  for await (const chunk of stream) {
    seen += Buffer.from(chunk).toString();
    if (seen.includes(text)) return;
  }
  throw new Error(`${JSON.stringify(text)} did not come, but ${JSON.stringify(seen)}`);
}

/** Whether the server has ended: its data folder can be locked. Waits a while for it. */
async function hasEnded(dataDir: string): Promise<boolean> {
  for (let round = 0; round < 200; round++) {
    const lock = new BunDisk().lock(`${dataDir}/server1/LOCK`);
    lock?.release();
    if (lock !== undefined) return true;
    await Bun.sleep(10);
  }
  return false;
}

describe("dev", () => {
  test("runs the commands of a pipe, stops its servers, and keeps the data between runs", async () => {
    const dataDir = join(folder, "kept");
    const first = startDev(dataDir);
    first.stdin.write("put a 1\nget a\n");
    first.stdin.end();
    expect([await first.exited, await first.stdout.text()]).toEqual([0, "1\n"]);
    expect(await hasEnded(dataDir)).toBe(true);
    expect(readdirSync(dataDir)).toContain("server1.txt");
    const second = startDev(dataDir);
    second.stdin.write("get a\nget\nget a\n");
    second.stdin.end();
    expect([await second.exited, await second.stdout.text()]).toEqual([2, "1\n"]);
  }, 20_000);

  for (const [signal, status] of [
    ["SIGKILL", 137],
    ["SIGTERM", 143],
  ] as const)
    test(`leaves no server behind after ${signal}, and runs once in a folder`, async () => {
      const dataDir = join(folder, signal);
      const dev = startDev(dataDir);
      await readUntil(dev.stderr, "Leader:");
      const other = startDev(dataDir);
      expect(await other.exited).toBe(2);
      expect(await other.stderr.text()).toContain("another kvraft dev runs there");
      dev.kill(signal);
      expect(await dev.exited).toBe(status);
      expect(await hasEnded(dataDir)).toBe(true);
    }, 20_000);
});
