import type { BackupRow } from "../env/sqlite-backup.ts";
import { configurationKey, metaKey, userKey } from "../kv/keys.ts";
import { encodeMeta, readMeta } from "../kv/state-machine.ts";
import { encodeRecord } from "../leveldb/record.ts";
import type { Bytes } from "../lib/bytes.ts";
import { ByteWriter } from "../lib/codec.ts";
import { bornAheadMsMax } from "../server/limits.ts";
import { encodeMembers, type Members } from "../server/members.ts";
import type { Backup } from "./backup.ts";
import type { StateRow } from "./state-row.ts";

/** Bytes of one chunk of rows, if no single row is larger. */
const chunkBytesMax = 1024 * 1024;

/**
 * The replicated state of a new cluster after its first log entry, from a backup: the keys with their lives, the
 * revision, and the new members. Chunks of the store's grammar (leveldb/row-chunk.ts), in order.
 */
export function* restoredState(
  backup: Backup,
  members: Members,
  users: Iterable<BackupRow>,
): Generator<Bytes> {
  const writer = new ByteWriter(chunkBytesMax);
  for (const row of rowsOf(backup, members, users)) {
    writeRow(writer, row);
    if (writer.length < chunkBytesMax) continue;
    yield writer.copy();
    writer.clear();
  }
  if (writer.length > 0) yield writer.copy();
}

function* rowsOf(backup: Backup, members: Members, users: Iterable<BackupRow>): Generator<StateRow> {
  const { revision } = backup;
  const life = { created: revision, modified: revision, count: 1 };
  yield { key: configurationKey, value: encodeMembers(members), ...life };
  for (const row of users) yield { ...row, key: userKey(row.key) };
  yield { key: metaKey, value: restoredMeta(backup), ...life };
}

/**
 * Sessions are left out, and none of the old cluster may open a second time: a retry of its first command would be
 * applied twice. Whatever birth the old cluster took lies at most so far ahead of its time; the new one begins behind that,
 * and so tells its clients births that are above the floor from the first moment on.
 */
function restoredMeta({ revision, clockMs }: Backup): Bytes {
  const bornFloorMs = clockMs + bornAheadMsMax;
  const empty = readMeta({ get: () => undefined });
  return encodeMeta({ ...empty, revision, clockMs: bornFloorMs + 1, bornFloorMs });
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
