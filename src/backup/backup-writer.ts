import { type BackupRow, SqliteBackupWriter } from "../env/sqlite-backup.ts";
import { readMeta } from "../kv/state-machine.ts";
import type { Bytes } from "../lib/bytes.ts";
import { DecodeError } from "../lib/codec.ts";
import { KvraftError } from "../lib/error.ts";
import { type Backup, fieldsOf } from "./backup.ts";
import { ContentChecksum } from "./content-checksum.ts";
import { kindOfRow, type StateRow } from "./state-row.ts";

/** What the state's rows do not tell. */
export interface BackupOrigin {
  readonly clusterId: string;
  readonly index: number;
  readonly term: number;
  readonly createdAt: string;
  readonly version: string;
}

/**
 * Writes a backup of a state whose rows come in the order of their keys; nothing of them is kept in memory. The file has
 * its name only when all of it is durable, and an existing one is never replaced.
 */
export class BackupWriter {
  readonly #file: SqliteBackupWriter;
  readonly #checksum = new ContentChecksum();
  #keys = 0;
  #bytes = 0;
  #meta: Bytes | undefined;

  /** EXISTS, LOCKED, IO_ERROR: nothing was written then. */
  constructor(path: string) {
    this.#file = new SqliteBackupWriter(path);
  }

  add(row: StateRow): void {
    const kind = kindOfRow(row);
    if (kind === "meta") this.#meta = row.value.slice();
    if (kind !== "user") return;
    const { value, created, modified, count } = row;
    this.#addUser({ key: row.key.subarray(1), value, created, modified, count });
  }

  /** Completes the file. CORRUPTION when the state was none. */
  finish(origin: BackupOrigin): Backup {
    const { revision, clockMs } = this.#readMeta();
    const backup: Backup = { ...origin, revision, clockMs, keys: this.#keys, bytes: this.#bytes };
    const fields = fieldsOf(backup);
    this.#file.finish(new Map([...fields, ["checksum", this.#checksum.finish(fields)]]));
    return backup;
  }

  /** Removes what was written. Does nothing after `finish`. */
  abandon(): void {
    this.#file.abandon();
  }

  #addUser(row: BackupRow): void {
    this.#file.add(row);
    this.#checksum.add(row);
    this.#keys++;
    this.#bytes += row.key.length + row.value.length;
  }

  #readMeta(): { revision: number; clockMs: number } {
    if (this.#meta === undefined && this.#keys > 0)
      throw new KvraftError(
        "CORRUPTION",
        "Cannot back up the state: it has keys, and no record of its revision; use another node's",
      );
    try {
      return readMeta({ get: () => this.#meta });
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      throw new KvraftError("CORRUPTION", `Cannot back up the state: ${error.message}; use another node's`);
    }
  }
}
