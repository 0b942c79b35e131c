/**
 * The data folder of one server of a new cluster, made from a backup: identity in state formed, a store whose state is
 * the one after the entry that says who the members are, and a Raft log that begins after that entry. The identity is
 * written last: a folder that was not finished is refused by every start.
 */
import type { ServerConfig } from "../config/config.ts";
import type { DiskLock } from "../env/disk.ts";
import { isEmptyFolder } from "../env/empty-folder.ts";
import type { Env } from "../env/env.ts";
import { LevelDB } from "../leveldb/level-db.ts";
import type { Bytes } from "../lib/bytes.ts";
import { KvraftError } from "../lib/error.ts";
import type { Progress } from "../lib/examination.ts";
import { DataFolder } from "../server/data-folder.ts";
import { type Identity, writeIdentity } from "../server/identity.ts";
import type { BackupReader, CheckedBackup } from "./backup-reader.ts";
import { newCluster } from "./new-cluster.ts";
import { restoredState } from "./restored-state.ts";

export interface RestoreOptions {
  readonly env: Env;
  /** With the folder that is made as its dataDir. */
  readonly config: ServerConfig;
  readonly token: string;
  readonly progress: (progress: Progress) => void;
}

/** Of the log that forms a cluster (DataFolder.bootstrap): what the restored state contains. */
const applied = { index: 1, term: 1 };
/** Bytes of rows that may wait for the store's worker. */
const waitingBytesMax = 16 * 1024 * 1024;

/** EXISTS unless there is nothing in the folder, or no folder. */
export function checkRestorable(folder: string): void {
  if (isEmptyFolder(folder)) return;
  throw new KvraftError(
    "EXISTS",
    `Cannot restore into "${folder}": the folder is not empty; move what is there away, or name another one by --data-dir`,
  );
}

/** Makes the folder from a backup that was checked; all of it is durable when this resolves. */
export async function restore(
  reader: BackupReader,
  checked: CheckedBackup,
  options: RestoreOptions,
): Promise<Identity> {
  const { env, config, token } = options;
  const { dataDir, me, servers } = config;
  checkRestorable(dataDir);
  env.disk.createFolder(dataDir);
  const lock = takeLock(env, dataDir);
  try {
    const { clusterId, members } = newCluster(checked.checksum, servers, token);
    const { nodeId } = members.list[me]!;
    const identity: Identity = { state: "formed", place: me, nodeId, clusterId, members };
    const folder = new DataFolder(env, config, identity, () => {});
    await makeStore(folder.storeFolder, restoredState(checked, members, reader.rows()), checked, options);
    makeLog(folder, identity);
    writeIdentity(env.disk, dataDir, identity);
    return identity;
  } finally {
    lock.release();
  }
}

function takeLock({ disk }: Env, folder: string): DiskLock {
  const lock = disk.lock(`${folder}/LOCK`);
  if (lock !== undefined) return lock;
  throw new KvraftError("LOCKED", `Cannot restore into "${folder}": another process uses the folder`);
}

async function makeStore(
  folder: string,
  chunks: Iterable<Bytes>,
  { revision, bytes }: CheckedBackup,
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
    install.finish({ sequence: revision, applied });
    await outcome.promise;
  } finally {
    store.close();
  }
}

/** Begins behind the restored state: a server that joins has to be given that, and not only what comes after it. */
function makeLog(folder: DataFolder, identity: Identity): void {
  try {
    folder.openLog(identity).restartSync(applied);
  } finally {
    folder.close();
  }
}
