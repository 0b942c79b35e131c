import { printable } from "../rpc/printable.ts";

/** What one node says of itself, or why it says nothing. */
export interface NodeStatus {
  /** `host:port` under which it was asked. */
  readonly address: string;
  readonly reachable: boolean;
  /** Why it is not reachable. */
  readonly error?: string;
  readonly nodeId?: string;
  readonly clusterId?: string;
  /** alone, forming or formed. */
  readonly state?: string;
  /** leader, follower, candidate, pre-candidate; or waiting, before the cluster is formed. */
  readonly role?: string;
  readonly term?: number;
  /** Log indexes. */
  readonly commit?: number;
  readonly applied?: number;
  readonly firstIndex?: number;
  readonly lastIndex?: number;
  readonly revision?: number;
  /** Bytes of the Raft log on its disk. */
  readonly logBytes?: number;
  /** `host:port` of the leader it knows, or empty. */
  readonly leader?: string;
}

const textKeys = ["nodeId", "clusterId", "state", "role", "leader"] as const;
const numberKeys = ["term", "commit", "applied", "firstIndex", "lastIndex", "revision", "logBytes"] as const;

/**
 * What the node behind `address` said of itself in JSON. What is not of the kind it should be is left out, and control
 * characters are replaced: this is shown to people. Throws SyntaxError for what is no JSON.
 */
export function nodeStatusOf(address: string, json: string): NodeStatus {
  const said: unknown = JSON.parse(json);
  const fields = new Map(typeof said === "object" && said !== null ? Object.entries(said) : []);
  const texts: { [Key in (typeof textKeys)[number]]?: string } = {};
  const numbers: { [Key in (typeof numberKeys)[number]]?: number } = {};
  for (const key of textKeys) {
    const value: unknown = fields.get(key);
    if (typeof value === "string") texts[key] = printable(value);
  }
  for (const key of numberKeys) {
    const value: unknown = fields.get(key);
    if (typeof value === "number") numbers[key] = value;
  }
  return { ...texts, ...numbers, address, reachable: true };
}
