import type { SnapshotSource } from "../backup/save.ts";
import type { KVClient, SnapshotOptions } from "../client/kv-client.ts";

/** What the commands ask of a client. */
export type Client = Pick<
  KVClient,
  | "getBytes"
  | "getRecord"
  | "put"
  | "delete"
  | "status"
  | "members"
  | "changeMembers"
  | "transferLeadership"
  | "close"
> & { snapshot(options?: SnapshotOptions): Promise<SnapshotSource> };
