import { expect, test } from "bun:test";
import { Prng } from "../../src/env/prng.ts";
import { KvraftError } from "../../src/lib/error.ts";
import { removeLogLeftovers } from "../../src/raftlog/leftovers.ts";
import { CrashDisk } from "./crash-disk.ts";
import { entries, folder, openLog, owner, save, state } from "./log-fixture.ts";

const noSpace = new KvraftError("NO_SPACE", "Cannot sync the folder");

test("leftovers are removed without reading the log, and a power cut then takes no segment that counts", () => {
  for (const fate of ["lost", "kept", "torn"] as const) {
    let disk = new CrashDisk();
    const { log } = openLog(disk);
    save(disk, log, { hardState: state(1), entries: entries(1, 3, 1) });
    // The log begins anew with a segment of its final name, and the process dies before that name is durable.
    disk.failure = (action) => (action === "syncFolder" ? noSpace : undefined);
    expect(() => log.restartSync({ index: 9, term: 1 })).toThrow(noSpace);
    log.close();
    disk.failure = undefined;
    expect(disk.list(folder).length).toBe(2);
    const lines: string[] = [];
    removeLogLeftovers(disk, folder, owner, (line) => lines.push(line));
    expect(disk.list(folder).length).toBe(1);
    disk = disk.crash(fate, new Prng(1));
    expect(openLog(disk).log.readRaftState()).toEqual({
      hardState: state(1, 9),
      firstIndex: 10,
      lastIndex: 9,
    });
  }
});
