import { afterAll, expect, test } from "bun:test";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BunDisk } from "../../src/env/bun-disk.ts";
import type { Persister, SavedState } from "../../src/raftlog/persister.ts";
import { contentOf, entries, openLog, peer, print, smallOptions, state } from "./log-fixture.ts";

const root = fs.mkdtempSync(join(tmpdir(), "kvraft-raftlog-"));
const disk = new BunDisk();

afterAll(() => fs.rmSync(root, { recursive: true, force: true }));

function save(log: Persister, part: Partial<SavedState>): Promise<void> {
  return new Promise((resolve, reject) => {
    log.saveRaftState({ hardState: undefined, entries: [], ...part }, (error) => {
      if (error === undefined) resolve();
      else reject(error);
    });
  });
}

test("a log on a real disk has all that was saved, over many segments and restarts", async () => {
  const folder = join(root, "many");
  let { log } = openLog(disk, smallOptions, folder);
  const wanted = [];
  for (let round = 1; round <= 30; round++) {
    const list = entries(wanted.length + 1, wanted.length + 21, round, 100);
    await save(log, { hardState: state(round, wanted.length, peer), entries: list });
    wanted.push(...list);
    expect(log.slice(1, 9, 1e9).map(print)).toEqual(wanted.slice(0, 8).map(print));
    if (round % 7 !== 0) continue;
    log.close();
    ({ log } = openLog(disk, smallOptions, folder));
  }
  expect(contentOf(log).entries).toEqual(wanted.map(print));
  expect(log.readRaftState().hardState).toEqual(state(30, 580, peer));
  log.close();
});

test("a log on a real disk gives back what it drops, also when it begins anew", async () => {
  const folder = join(root, "shrinks");
  let { log } = openLog(disk, smallOptions, folder);
  for (let index = 1; index < 400; index += 20) {
    await save(log, { hardState: state(1, index, peer), entries: entries(index, index + 20, 1, 100) });
    expect(log.slice(log.firstIndex, log.firstIndex + 1, 1)[0]!.index).toBe(log.firstIndex);
    log.compact({ upTo: index, tailEntries: 50, tailBytes: 1e9 });
    expect(log.bytes).toBeLessThan(50_000);
  }
  const before = contentOf(log);
  expect(before.firstIndex).toBeGreaterThan(200);
  log.close();
  ({ log } = openLog(disk, smallOptions, folder));
  expect(contentOf(log)).toEqual(before);
  await save(log, { start: { term: 1, index: 900 }, entries: entries(901, 905, 1) });
  expect(disk.list(folder).length).toBe(1);
  log.restartSync({ term: 2, index: 990 });
  await save(log, { entries: entries(991, 993, 2) });
  log.close();
  ({ log } = openLog(disk, smallOptions, folder));
  expect(log.readRaftState()).toEqual({ hardState: state(1, 990, peer), firstIndex: 991, lastIndex: 992 });
  log.close();
});

test("the size of the log is what its files have, and the zeros ahead grow with it only", async () => {
  const folder = join(root, "size");
  const { log } = openLog(disk, {}, folder);
  const bytesOfFiles = () =>
    disk.list(folder).reduce((sum, name) => sum + fs.statSync(join(folder, name)).size, 0);
  expect(log.bytes).toBe(bytesOfFiles());
  await save(log, { entries: entries(1, 10, 1) });
  await save(log, { entries: entries(10, 20, 1) });
  expect(bytesOfFiles()).toBeLessThan(600 * 1024);
  expect(Math.abs(log.bytes - bytesOfFiles())).toBeLessThanOrEqual(256 * 1024);
  for (let index = 20; index < 120; index += 10)
    await save(log, { entries: entries(index, index + 10, 1, 100_000) });
  expect(bytesOfFiles()).toBeLessThan(11e6 + 5 * 1024 * 1024);
  log.close();
});

test("a process that is killed while it writes leaves a log that starts", async () => {
  const folder = join(root, "killed");
  const script = join(root, "writer.ts");
  const here = import.meta.dir;
  fs.writeFileSync(
    script,
    `import { BunDisk } from ${JSON.stringify(join(here, "../../src/env/bun-disk.ts"))};
     import { entries, openLog } from ${JSON.stringify(join(here, "log-fixture.ts"))};
     const { log } = openLog(new BunDisk(), { segmentBytesMax: 200_000 }, ${JSON.stringify(folder)});
     const next = () => {
       const from = log.lastIndex + 1;
       log.saveRaftState({ hardState: undefined, entries: entries(from, from + 10, 1, 300) }, (error) => {
         if (error) throw error;
         require("node:fs").writeSync(1, log.lastIndex + "\\n");
         next();
       });
     };
     next();`,
  );
  let acknowledged = 0;
  for (let round = 0; round < 3; round++) {
    const writer = Bun.spawn([process.execPath, script], { stdout: "pipe", stderr: "inherit" });
    let text = "";
    for await (const chunk of writer.stdout) {
      text += Buffer.from(chunk).toString();
      if (text.split("\n").length > 150) writer.kill("SIGKILL");
    }
    await writer.exited;
    acknowledged = Math.max(acknowledged, ...text.split("\n").slice(0, -1).map(Number));
  }
  const { log } = openLog(disk, {}, folder);
  expect(acknowledged).toBeGreaterThan(4000);
  expect(log.lastIndex).toBeGreaterThanOrEqual(acknowledged);
  const found = log.slice(1, log.lastIndex + 1, 1e9);
  expect(found.map(print).join()).toBe(
    entries(1, log.lastIndex + 1, 1, 300)
      .map(print)
      .join(),
  );
  log.close();
});
