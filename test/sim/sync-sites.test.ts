import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { Glob } from "bun";
import type { Canary } from "./canary.ts";

// Goal: no sync, and none of the protocol's safety steps, can be removed without a test going red. Method: every place where the
// production code makes something durable is listed here with the canary that removes it, and a place that is not
// listed is an error. The canaries are run by canaries.test.ts.

/** What removes it, or why nothing can be seen when it is gone. */
const sites: Record<string, { readonly canary: string } | { readonly because: string }> = {
  "src/env/replace-file.ts: file.sync();": { canary: "sync-replaced-file-removed" },
  "src/env/replace-file.ts: disk.syncFolder(folder);": { canary: "sync-replaced-name-removed" },
  "src/leveldb/run-folder.ts: env.disk.syncFolder(folder);": { canary: "sync-store-at-open-removed" },
  "src/leveldb/run-folder.ts: disk.syncFolder(folder);": {
    because: "it is that of a store that is destroyed, which no node does; test/leveldb/open.test.ts",
  },
  "src/leveldb/table-writer.ts: this.#table.finish();": { canary: "sync-run-removed" },
  "src/leveldb/upkeep.ts: if (build.outputs.length > 0) this.#env.disk.syncFolder(this.#folder);": {
    canary: "sync-run-folder-removed",
  },
  "src/server/data-folder.ts: env.disk.syncFolder(dataDir);": {
    because:
      "the process has to die between the rename of a file and the sync of its folder, and the power has to go soon after; " +
      "test/sim/sim.test.ts, seed 133955846442085",
  },
  "src/raftlog/log-writer.ts: file.sync();": { canary: "tail-trusted-unsynced" },
  "src/raftlog/log-writer.ts: file.writeDurably(0, bytes, (error) => {": { canary: "sync-segment-removed" },
  "src/raftlog/log-writer.ts: this.#disk.syncFolder(this.#folder);": { canary: "sync-log-folder-removed" },
  "src/raftlog/leftovers.ts: disk.syncFolder(folder);": {
    because:
      "the process has to die between the rename of a segment and the sync of its folder, and the power has to go soon after; " +
      "test/raftlog/leftovers.test.ts",
  },
  "src/raftlog/segment-files.ts: if (paths.length > 0) this.#disk.syncFolder(folder);": {
    because:
      "of segments that were replaced any may come back, and is removed again; that of segments that were dropped, one " +
      "after the other, is that of test/raftlog/compaction-crash.test.ts",
  },
  "src/raftlog/segment-appender.ts: this.#file.writeDurably(offset, bytes, done);": {
    canary: "sync-group-removed",
  },
  "src/raftlog/segment-appender.ts: this.#file.writeDurably(offset, zerosOf(length), (error) => this.#filled(error));":
    {
      because: "zeros that are filled ahead hold nothing; their sync only makes that of a group cheaper",
    },
  "src/server/boot-list.ts: file.sync();": { canary: "sync-boot-removed" },
  "src/server/boot-memory.ts: this.#file.writeDurably((write % 2) * slotBytes, bytes, (error) => {": {
    because:
      "a member has to lose power with what it remembers while the folder that it remembers is set back, which the " +
      "simulator does one at a time; test/server/boot-files.test.ts",
  },
};

/** Steps of the protocol and of the store that are no sync, and the canaries without them. */
const steps: Record<string, string> = {
  "the pre-vote": "no-pre-vote",
  "the check of the quorum": "check-quorum-off",
  "the no-op": "no-noop",
  "the session lookup": "retry-applied-twice",
  "the order of a run's files and MANIFEST": "manifest-ahead-of-runs",
  "what a step of a merge has moved": "merge-forgets-clipped-rows",
  "what a step of a merge has left": "merge-drops-unmerged",
  "the tombstones that still hide something": "tombstone-dropped-above-bottom",
};

const site = /\.sync\(\)|\bsyncFolder\(|\.writeDurably\(|#table\.finish\(/;

test("every place that makes something durable has a canary that removes it, or a reason", async () => {
  const places: string[] = [];
  for (const file of [...new Glob("src/**/*.ts").scanSync(".")].sort()) {
    // What the simulator replaces or has no part in; test/env and test/backup test them.
    if (/^src\/env\/(bun-disk|sqlite-tables|sqlite-backup|overlay-disk|disk|tables)\.ts$/.test(file))
      continue;
    for (const line of (await Bun.file(file).text()).split("\n")) {
      const code = line.trim();
      if (site.test(code) && !code.startsWith("*") && !code.startsWith("//")) places.push(`${file}: ${code}`);
    }
  }
  expect(places.sort()).toEqual(Object.keys(sites).sort());
});

for (const [place, how] of Object.entries(sites)) {
  if ("because" in how) continue;
  test(`${how.canary} breaks ${place}`, async () => {
    const { canary } = (await import(`./canaries/${how.canary}.ts`)) as { readonly canary: Canary };
    const [file, code] = [place.slice(0, place.indexOf(": ")), place.slice(place.indexOf(": ") + 2)];
    const edit = canary.edits.find((each) => each.file === file && each.from.includes(code.split("\n")[0]!));
    expect(edit).toBeDefined();
  });
}

test("the steps have canaries", () => {
  for (const name of Object.values(steps)) expect(existsSync(`test/sim/canaries/${name}.ts`)).toBe(true);
});
