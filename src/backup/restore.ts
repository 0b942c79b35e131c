/**
 * The data folder of one server, prepared from a backup: a store with its state, and who it was prepared for. It is no
 * member of any cluster and holds no id; the servers form a new cluster when all of them have started (server/formation.ts).
 * What the folder is stands in its identity, first that a restore is under way and last that it is done.
 */
import type { ServerConfig } from "../config/config.ts";
import type { DiskLock } from "../env/disk.ts";
import type { Env } from "../env/env.ts";
import { namesIn } from "../env/names-in.ts";
import type { BackupRow } from "../env/sqlite-backup.ts";
import { LevelDB } from "../leveldb/level-db.ts";
import type { Bytes } from "../lib/bytes.ts";
import { KvraftError } from "../lib/error.ts";
import type { Progress } from "../lib/examination.ts";
import { restoredEntry } from "../server/data-folder.ts";
import { serverListText } from "../server/formation-messages.ts";
import { readIdentity, unstartedIdentity, writeIdentity } from "../server/identity.ts";
import type { CheckedBackup } from "./backup-reader.ts";
import { restoredRevision, restoredState } from "./restored-state.ts";

type RestoreEnv = Pick<Env, "disk" | "tables" | "workers">;

export interface RestoreOptions {
  readonly env: RestoreEnv;
  /** With the folder that is made as its dataDir. */
  readonly config: ServerConfig;
  readonly progress: (progress: Progress) => void;
}

/** Bytes of rows that may wait for the store's worker. */
const waitingBytesMax = 16 * 1024 * 1024;
/** What an interrupted restore may have left before it could say that it is one. */
const namesBefore: readonly string[] = ["LOCK", "identity.new"];

/** EXISTS unless there is nothing in the folder, or no folder, or what an interrupted restore has left. */
export function checkRestorable({ disk }: RestoreEnv, folder: string): void {
  if (namesIn(folder).every((name) => namesBefore.includes(name)) || isInterrupted({ disk }, folder)) return;
  throw new KvraftError(
    "EXISTS",
    `Cannot restore into "${folder}": the folder is not empty; move what is there away, or name another one by ` +
      "--data-dir. One server of a cluster that lives is never restored: empty its folder and start it with --join",
  );
}

/**
 * Makes the folder from a backup that was checked, and its rows; all of it is durable when this resolves. Over what an
 * interrupted restore has left. Yields the revision of the state.
 */
export async function restore(
  checked: CheckedBackup,
  rows: Iterable<BackupRow>,
  options: RestoreOptions,
): Promise<number> {
  const { env, config } = options;
  const { dataDir, me, servers } = config;
  const revision = restoredRevision(checked);
  env.disk.createFolder(dataDir);
  const lock = takeLock(env, dataDir);
  try {
    checkUnused(env, dataDir);
    const origin = { checksum: checked.checksum, servers: serverListText(servers) };
    writeIdentity(env.disk, dataDir, unstartedIdentity("restoring", me, origin));
    LevelDB.destroy(env, `${dataDir}/store`);
    await makeStore(`${dataDir}/store`, restoredState(checked, rows), revision, checked.bytes, options);
    writeIdentity(env.disk, dataDir, unstartedIdentity("prepared", me, origin));
    return revision;
  } finally {
    lock.release();
  }
}

function takeLock({ disk }: RestoreEnv, folder: string): DiskLock {
  const lock = disk.lock(`${folder}/LOCK`);
  if (lock !== undefined) return lock;
  throw new KvraftError("LOCKED", `Cannot restore into "${folder}": another process uses the folder`);
}

/** Another restore may have been faster. */
function checkUnused(env: RestoreEnv, folder: string): void {
  const isNew = readIdentity(env.disk, folder) === undefined && env.disk.list(`${folder}/store`).length === 0;
  if (isNew || isInterrupted(env, folder)) return;
  throw new KvraftError(
    "EXISTS",
    `Cannot restore into "${folder}": another process has just made a folder there`,
  );
}

function isInterrupted({ disk }: Pick<Env, "disk">, folder: string): boolean {
  return readIdentity(disk, folder)?.state === "restoring";
}

async function makeStore(
  folder: string,
  chunks: Iterable<Bytes>,
  revision: number,
  bytes: number,
  { env, progress }: RestoreOptions,
): Promise<void> {
  const outcome = Promise.withResolvers<void>();
  // Nobody may wait for it when it is told.
  outcome.promise.catch(() => {});
  const store = LevelDB.open(env, folder, { createIfMissing: true, failed: outcome.reject });
  try {
    let [waiting, done] = [0, 0];
    let consumed = Promise.withResolvers<void>();
    const install = store.beginInstall({
      consumed: (count) => {
        waiting -= count;
        done += count;
        consumed.resolve();
      },
      installed: outcome.resolve,
      refused: outcome.reject,
    });
    for (const chunk of chunks) {
      waiting += chunk.length;
      install.add(chunk);
      progress({ done: Math.min(done, bytes), total: bytes });
      while (waiting > waitingBytesMax) {
        await Promise.race([consumed.promise, outcome.promise]);
        consumed = Promise.withResolvers<void>();
      }
    }
    install.finish({ sequence: revision, applied: restoredEntry });
    await outcome.promise;
  } finally {
    store.close();
  }
}
