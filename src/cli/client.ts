import type { KVClient } from "../client/kv-client.ts";

/** What the commands ask of a client. */
export type Client = Pick<KVClient, "getBytes" | "getRecord" | "put" | "delete" | "status" | "close">;
