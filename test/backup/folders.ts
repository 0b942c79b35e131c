import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Backup } from "../../src/backup/backup.ts";
import { BackupWriter } from "../../src/backup/backup-writer.ts";
import type { StateRow } from "../../src/backup/state-row.ts";
import { encodeMeta, readMeta } from "../../src/kv/state-machine.ts";
import { concatBytes, toUtf8 } from "../../src/lib/bytes.ts";

/** A folder that is gone after the tests of a file, if it calls `cleanUp` at their end. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "kvraft-backup-"));
  folders.push(folder);
  return folder;
}

export function cleanUp(): void {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}

const folders: string[] = [];

export const origin = {
  clusterId: "00000000000000c1",
  index: 40,
  term: 3,
  createdAt: "2026-11-25T08:00:00.000Z",
  version: "0.1.0",
};

/** A user key of the state, put `count` times. */
export function userRow(
  key: string | Uint8Array,
  value: string | Uint8Array,
  modified: number,
  count = 1,
): StateRow {
  const bytes = (text: string | Uint8Array) => (typeof text === "string" ? toUtf8(text) : text);
  const created = modified - count + 1;
  return { key: concatBytes([toUtf8("k"), bytes(key)]), value: bytes(value), created, modified, count };
}

export function metaRow(revision: number, clockMs: number): StateRow {
  const empty = readMeta({ get: () => undefined });
  const value = encodeMeta({ ...empty, revision, clockMs, wallMs: clockMs, bornFloorMs: 0 });
  return { key: toUtf8("m"), value, created: revision, modified: revision, count: 1 };
}

/** The whole state of a cluster with these user keys, at revision 100 and the time 1,000,000. */
export function stateOf(users: readonly StateRow[]): StateRow[] {
  const other = (key: string) => ({
    key: toUtf8(key),
    value: toUtf8("?"),
    created: 1,
    modified: 1,
    count: 1,
  });
  return [other("c"), ...users, metaRow(100, 1_000_000), other("sname")];
}

export function writeBackup(path: string, users: readonly StateRow[]): Backup {
  const writer = new BackupWriter(path);
  for (const row of stateOf(users)) writer.add(row);
  return writer.finish(origin);
}
