import { bootsKey, configurationKey, metaKey, sessionPrefix, userKey } from "../kv/keys.ts";
import { decodeRecord } from "../leveldb/record.ts";
import type { LiveRow } from "../leveldb/row-chunk.ts";
import { type Bytes, emptyBytes } from "../lib/bytes.ts";
import { KvraftError } from "../lib/error.ts";

/** A row of the replicated state, with its key as the store has it. */
export interface StateRow {
  readonly key: Bytes;
  readonly value: Bytes;
  readonly created: number;
  readonly modified: number;
  readonly count: number;
}

const userByte = userKey(emptyBytes)[0]!;

/** Throws DecodeError. The value is a view of the row. */
export function stateRowOf({ key, sequence, record }: LiveRow): StateRow {
  const { value, created, count } = decodeRecord(record);
  return { key, value, created, modified: sequence, count };
}

/**
 * What a row of the state is for a backup: user keys and the meta record are taken, sessions and the configuration
 * belong to the cluster that they come from. FORMAT for what this build does not know: it would be lost in silence.
 */
export function kindOfRow({ key }: StateRow): "user" | "meta" | "left out" {
  const [first] = key;
  if (first === userByte) return "user";
  if (first === metaKey[0]) return "meta";
  if (first === sessionPrefix[0] || first === configurationKey[0] || first === bootsKey[0]) return "left out";
  throw new KvraftError(
    "FORMAT",
    `Cannot back up the state: it has rows of the unknown kind ${first ?? "(empty key)"}; use the version of kvraft ` +
      "that the servers have",
  );
}
