import { decodeRows } from "../leveldb/row-chunk.ts";
import type { Bytes } from "../lib/bytes.ts";
import { DecodeError } from "../lib/codec.ts";
import { KvraftError } from "../lib/error.ts";
import type { Progress } from "../lib/examination.ts";
import type { Backup } from "./backup.ts";
import { BackupWriter } from "./backup-writer.ts";
import { stateRowOf } from "./state-row.ts";
import type { StoppedNode } from "./stopped-node.ts";

/** A state that arrives chunk by chunk: the client library's SnapshotStream, as far as a backup needs it. */
export interface SnapshotSource extends AsyncIterable<Bytes> {
  readonly clusterId: string;
  readonly index: number;
  readonly term: number;
  /** About how many bytes will come. */
  readonly bytes: number;
  /** How many rows have come in all; known at the end. */
  readonly rowCount: number | undefined;
}

export interface SaveOptions {
  /** As in 2026-11-25T08:00:00.000Z. */
  readonly createdAt: string;
  /** Of this program. */
  readonly version: string;
  readonly progress: (progress: Progress) => void;
}

/** Writes a backup of a state as it arrives. When anything fails no file is left, and what was thrown says why. */
export async function saveSnapshot(
  path: string,
  source: SnapshotSource,
  options: SaveOptions,
): Promise<Backup> {
  const { createdAt, version, progress } = options;
  const writer = new BackupWriter(path);
  try {
    let [done, rowCount] = [0, 0];
    for await (const chunk of source) {
      for (const row of decodeRows(chunk)) {
        writer.add(stateRowOf(row));
        rowCount++;
      }
      done += chunk.length;
      progress({ done: Math.min(done, source.bytes), total: source.bytes });
    }
    if (rowCount !== source.rowCount)
      throw damaged(`${rowCount} rows have come, and it has ${source.rowCount ?? "an unknown number"}`);
    const { clusterId, index, term } = source;
    return writer.finish({ clusterId, index, term, createdAt, version });
  } catch (error) {
    throw error instanceof DecodeError ? damaged(error.message) : error;
  } finally {
    writer.abandon();
  }
}

/** Writes a backup of what a node holds that does not run, its log replayed. */
export async function saveStopped(path: string, node: StoppedNode, options: SaveOptions): Promise<Backup> {
  const { createdAt, version, progress } = options;
  const writer = new BackupWriter(path);
  try {
    let done = 0;
    for (const row of node.rows()) {
      writer.add(row);
      done += row.key.length + row.value.length;
      progress({ done: Math.min(done, node.bytes), total: node.bytes });
    }
    const { clusterId, index, term } = node;
    return writer.finish({ clusterId, index, term, createdAt, version });
  } finally {
    writer.abandon();
  }
}

function damaged(why: string): KvraftError {
  return new KvraftError(
    "CORRUPTION",
    `Cannot back up the state: ${why}; begin again, or use another node's (--server)`,
  );
}
