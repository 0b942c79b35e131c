import type { BackupFields } from "../env/sqlite-backup.ts";
import { KvraftError } from "../lib/error.ts";

/** The only format there is. */
export const backupFormat = 1;

/** What a backup says of itself (FORMAT.md). */
export interface Backup {
  readonly clusterId: string;
  /** The last log entry that the state contains, and its term. */
  readonly index: number;
  readonly term: number;
  readonly revision: number;
  /** The log's time in that state, in ms since 1970. */
  readonly clockMs: number;
  readonly keys: number;
  /** Of all keys and values. */
  readonly bytes: number;
  /** As in 2026-11-25T08:00:00.000Z. */
  readonly createdAt: string;
  /** Of the program that wrote it. */
  readonly version: string;
}

const textNames = ["clusterId", "createdAt", "version"] as const;
const numberNames = ["index", "term", "revision", "clockMs", "keys", "bytes"] as const;

/** Everything but the checksum, in the order in which it is checked: by name. */
export function fieldsOf(backup: Backup): BackupFields {
  const fields = new Map<string, string | number>([["format", backupFormat]]);
  for (const name of [...textNames, ...numberNames]) fields.set(name, backup[name]);
  return new Map([...fields].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** FORMAT for a backup of another format, CORRUPTION when something is missing or is not of its kind. */
export function backupOf(path: string, fields: ReadonlyMap<string, unknown>): Backup {
  const format = fields.get("format");
  if (format !== backupFormat && typeof format === "number")
    throw new KvraftError(
      "FORMAT",
      `Cannot read the backup "${path}": it has format ${format}, ${backupFormat} is known; use a newer build`,
    );
  if (format === undefined) throw damagedBackup(path, "it says nothing of a format");
  const text = (name: (typeof textNames)[number]): string => {
    const value = fields.get(name);
    if (typeof value === "string") return value;
    throw damagedBackup(path, `its ${name} is ${shown(value)}, wanted a text`);
  };
  const number = (name: (typeof numberNames)[number]): number => {
    const value = fields.get(name);
    if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
    throw damagedBackup(path, `its ${name} is ${shown(value)}, wanted a whole number`);
  };
  return {
    clusterId: text("clusterId"),
    index: number("index"),
    term: number("term"),
    revision: number("revision"),
    clockMs: number("clockMs"),
    keys: number("keys"),
    bytes: number("bytes"),
    createdAt: text("createdAt"),
    version: text("version"),
  };
}

export function damagedBackup(path: string, why: string): KvraftError {
  return new KvraftError(
    "CORRUPTION",
    `Cannot use the backup "${path}": ${why}; it is damaged, use another one`,
  );
}

function shown(value: unknown): string {
  return value === undefined ? "missing" : JSON.stringify(String(value).slice(0, 60));
}
