import { type BackupRow, SqliteBackupReader } from "../env/sqlite-backup.ts";
import { type Bytes, compareBytes } from "../lib/bytes.ts";
import type { Progress } from "../lib/examination.ts";
import { type Backup, backupOf, damagedBackup, fieldsOf } from "./backup.ts";
import { ContentChecksum } from "./content-checksum.ts";

/** A backup that was read to its end, and is whole. */
export interface CheckedBackup extends Backup {
  /** SHA-256 of its content, 64 hexadecimal digits. */
  readonly checksum: string;
}

/** Bytes of rows between two yields. */
const stepBytes = 1024 * 1024;

/** A backup in a file, which nobody changes meanwhile. */
export class BackupReader {
  readonly backup: Backup;
  readonly #file: SqliteBackupReader;
  readonly #checksum: unknown;

  /** NOT_FOUND, FORMAT, or CORRUPTION for what is no backup. Believes what the file says of itself so far. */
  constructor(path: string) {
    this.#file = new SqliteBackupReader(path);
    try {
      const fields = this.#file.fields();
      this.backup = backupOf(path, fields);
      this.#checksum = fields.get("checksum");
    } catch (error) {
      this.#file.close();
      throw error;
    }
  }

  /** Reads all of it, some between two yields. CORRUPTION when anything is not as it was written. */
  *check(): Generator<Progress, CheckedBackup> {
    const { backup } = this;
    const checksum = new ContentChecksum();
    let [keys, bytes, shownBytes] = [0, 0, 0];
    for (const row of this.rows()) {
      checksum.add(row);
      keys++;
      bytes += row.key.length + row.value.length;
      if (bytes - shownBytes < stepBytes) continue;
      shownBytes = bytes;
      yield { done: Math.min(bytes, backup.bytes), total: backup.bytes };
    }
    if (keys !== backup.keys) throw this.#damaged(`it has ${keys} keys, and says that it has ${backup.keys}`);
    if (bytes !== backup.bytes)
      throw this.#damaged(`it has ${bytes} bytes, and says that it has ${backup.bytes}`);
    const found = checksum.finish(fieldsOf(backup));
    if (found !== this.#checksum) throw this.#damaged("its checksum fails");
    return { ...backup, checksum: found };
  }

  /** The user keys in order. */
  *rows(): Generator<BackupRow> {
    let last: Bytes | undefined;
    for (const { key, value, created, modified, count } of this.#file.rows()) {
      const isRow = key instanceof Uint8Array && value instanceof Uint8Array;
      if (!isRow || !isCount(created) || !isCount(modified) || !isCount(count))
        throw this.#damaged("a row has a value of another type");
      if (last !== undefined && compareBytes(last, key) >= 0)
        throw this.#damaged("its rows are not in the order of their keys");
      if (created < 1 || count < 1 || created > modified || modified > this.backup.revision)
        throw this.#damaged("a row has a life that no key can have");
      last = key;
      yield { key, value, created, modified, count };
    }
  }

  close(): void {
    this.#file.close();
  }

  #damaged(why: string): Error {
    return damagedBackup(this.#file.path, why);
  }
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
