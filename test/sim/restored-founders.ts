import type { CheckedBackup } from "../../src/backup/backup-reader.ts";
import { restoredRevision, restoredState } from "../../src/backup/restored-state.ts";
import { LevelDB } from "../../src/leveldb/level-db.ts";
import type { Bytes } from "../../src/lib/bytes.ts";
import { restoredEntry } from "../../src/server/data-folder.ts";
import { unstartedIdentity, writeIdentity } from "../../src/server/identity.ts";
import { bornAheadMsMax } from "../../src/server/limits.ts";
import { MemoryTables } from "../leveldb/memory-tables.ts";
import { MemoryWorkers } from "../leveldb/memory-workers.ts";
import { CrashDisk } from "../raftlog/crash-disk.ts";

/** Founders whose folders were prepared from a backup, and the mistakes that people make with them. */
export interface RestoredFounders {
  /** This one was forgotten, and starts empty; after a while somebody sees it. */
  readonly forgotten: number | undefined;
  readonly seenAfterMs: number;
}

/** A backup without keys: what it brings is the place of the log, the revision, and the time. */
const backup: CheckedBackup = {
  clusterId: "00000000000000b0",
  index: 40,
  term: 3,
  revision: 100,
  clockMs: 1_000_000,
  keys: 0,
  bytes: 0,
  createdAt: "2026-11-25T08:00:00.000Z",
  version: "sim",
  checksum: "5a".repeat(32),
};

/** Where a restored cluster begins. */
export const restoredBase = {
  revision: restoredRevision(backup),
  entry: restoredEntry,
  leaseMs: backup.clockMs + bornAheadMsMax + 1,
};

/** The files of a prepared folder, as the restore makes them: here at once, since no time passes before a world begins. */
export function preparedFiles(dataDir: string, place: number, servers: string): Map<string, Bytes> {
  const disk = new CrashDisk();
  const tables = new MemoryTables(disk);
  const workers = new MemoryWorkers({ disk, tables });
  disk.createFolder(dataDir);
  const store = LevelDB.open({ disk, tables, workers }, `${dataDir}/store`, { createIfMissing: true });
  let isInstalled = false;
  const install = store.beginInstall({
    consumed: () => {},
    installed: () => {
      isInstalled = true;
    },
    refused: (error) => {
      throw error;
    },
  });
  for (const rows of restoredState(backup, [])) install.add(rows);
  install.finish({ sequence: restoredBase.revision, applied: restoredEntry });
  workers.settle();
  if (!isInstalled) throw new Error("the store was not prepared");
  store.close();
  writeIdentity(disk, dataDir, unstartedIdentity("prepared", place, { checksum: backup.checksum, servers }));
  const folders = [dataDir, `${dataDir}/store`];
  const paths = folders.flatMap((folder) => disk.list(folder).map((name) => `${folder}/${name}`));
  return new Map(paths.filter((path) => !path.endsWith("LOCK")).map((path) => [path, disk.read(path)!]));
}
