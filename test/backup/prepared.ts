import type { CheckedBackup } from "../../src/backup/backup-reader.ts";
import { restore } from "../../src/backup/restore.ts";
import type { ServerConfig } from "../../src/config/config.ts";
import type { Disk } from "../../src/env/disk.ts";
import type { BackupRow } from "../../src/env/sqlite-backup.ts";
import { toUtf8 } from "../../src/lib/bytes.ts";
import { MemoryTables } from "../leveldb/memory-tables.ts";
import { MemoryWorkers } from "../leveldb/memory-workers.ts";
import { origin } from "./folders.ts";

/** A backup of ten keys, without a file. Another letter makes another one. */
export function backupOf(letter: string): { readonly checked: CheckedBackup; readonly rows: BackupRow[] } {
  const rows = Array.from({ length: 10 }, (_, at) => ({
    key: toUtf8(`${letter}${at}`),
    value: toUtf8(`value ${at}`),
    created: at + 1,
    modified: at + 1,
    count: 1,
  }));
  const checksum = letter.repeat(64);
  return {
    checked: { ...origin, revision: 100, clockMs: 1_000_000, keys: 10, bytes: 100, checksum },
    rows,
  };
}

/** Runs a restore on a disk of the test. */
export function prepare(
  disk: Disk,
  config: ServerConfig,
  { checked, rows }: ReturnType<typeof backupOf> = backupOf("a"),
): Promise<number> {
  const tables = new MemoryTables(disk);
  const workers = new MemoryWorkers({ disk, tables }, (run) => void setImmediate(run));
  return restore(checked, rows, { env: { disk, tables, workers }, config, progress: () => {} });
}
