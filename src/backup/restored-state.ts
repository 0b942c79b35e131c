import type { BackupRow } from "../env/sqlite-backup.ts";
import { metaKey, userKey } from "../kv/keys.ts";
import { encodeMeta, readMeta } from "../kv/state-machine.ts";
import { encodeRecord } from "../leveldb/record.ts";
import type { Bytes } from "../lib/bytes.ts";
import { ByteWriter } from "../lib/codec.ts";
import { KvraftError } from "../lib/error.ts";
import { bornAheadMsMax } from "../server/limits.ts";
import type { Backup } from "./backup.ts";
import type { StateRow } from "./state-row.ts";

/** Bytes of one chunk of rows, if no single row is larger. */
const chunkBytesMax = 1024 * 1024;

/**
 * How far ahead of the backup's the revision of a restored state is. The old cluster went on after the backup was made,
 * for less than so many revisions; so none of them is ever given to something else.
 */
const revisionsAhead = 2 ** 32;

/** The revision of the restored state. INVALID_ARGUMENT when there are no numbers left. */
export function restoredRevision({ revision }: Pick<Backup, "revision">): number {
  const restored = revision + revisionsAhead;
  // As many again, for the writes of the new cluster.
  if (restored + revisionsAhead <= Number.MAX_SAFE_INTEGER) return restored;
  throw new KvraftError(
    "INVALID_ARGUMENT",
    `Cannot restore the backup: its revision is ${revision}, a restored cluster begins ${revisionsAhead} later, and there ` +
      "are no revisions above 2^53; put the keys into an empty cluster instead",
  );
}

/**
 * The replicated state of a new cluster before it has members, from a backup: the keys with their lives, and the revision.
 * Chunks of the store's grammar (leveldb/row-chunk.ts), in order.
 */
export function* restoredState(backup: Backup, users: Iterable<BackupRow>): Generator<Bytes> {
  const writer = new ByteWriter(chunkBytesMax);
  for (const row of rowsOf(backup, users)) {
    writeRow(writer, row);
    if (writer.length < chunkBytesMax) continue;
    yield writer.copy();
    writer.clear();
  }
  if (writer.length > 0) yield writer.copy();
}

function* rowsOf(backup: Backup, users: Iterable<BackupRow>): Generator<StateRow> {
  const revision = restoredRevision(backup);
  const life = { created: revision, modified: revision, count: 1 };
  for (const row of users) yield { ...row, key: userKey(row.key) };
  yield { key: metaKey, value: restoredMeta(backup, revision), ...life };
}

/**
 * Sessions are left out, and none of the old cluster may open a second time: a retry of its first command would be
 * applied twice. Whatever birth the old cluster took lies at most so far ahead of its time; the new one begins behind that,
 * and so tells its clients births that are above the floor from the first moment on.
 */
function restoredMeta({ clockMs }: Backup, revision: number): Bytes {
  const bornFloorMs = clockMs + bornAheadMsMax;
  const empty = readMeta({ get: () => undefined });
  return encodeMeta({ ...empty, revision, clockMs: bornFloorMs + 1, wallMs: bornFloorMs + 1, bornFloorMs });
}

function writeRow(writer: ByteWriter, { key, value, created, modified, count }: StateRow): void {
  const record = encodeRecord({
    isTombstone: false,
    isComplete: true,
    created,
    count,
    lease: 0,
    expiry: 0,
    value,
  });
  writer.varint(modified);
  writer.varint(key.length);
  writer.varint(record.length);
  writer.raw(key);
  writer.raw(record);
}
