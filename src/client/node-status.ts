import { printable } from "../rpc/printable.ts";

/** How far a member is, as its leader knows it. */
export interface FollowerStatus {
  readonly nodeId?: string;
  readonly address?: string;
  readonly role?: string;
  /** probe, replicate or snapshot: how entries are sent to it. */
  readonly state?: string;
  /** The last log index that is known to be there. */
  readonly match?: number;
  /** Entries that the leader has and that are not known to be there. */
  readonly lag?: number;
}

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
  /** Lease time, in ms, and wall time, in ms since 1970, as far as the node knows them. */
  readonly leaseTimeMs?: number;
  readonly wallTimeMs?: number;
  /** The last entry that the newest snapshot of its state contains: the log may be dropped up to there. */
  readonly snapshotIndex?: number;
  /** Voters and learners. */
  readonly memberCount?: number;
  /** What a leader knows of the other members; nobody else says it. */
  readonly followers?: readonly FollowerStatus[];
  /** Bytes of the Raft log on its disk. */
  readonly logBytes?: number;
  /** `host:port` of the leader it knows, or empty. */
  readonly leader?: string;
}

const textKeys = ["nodeId", "clusterId", "state", "role", "leader"] as const;
const numberKeys = [
  "term",
  "commit",
  "applied",
  "firstIndex",
  "lastIndex",
  "snapshotIndex",
  "memberCount",
  "revision",
  "leaseTimeMs",
  "wallTimeMs",
  "logBytes",
] as const;
const followerTextKeys = ["nodeId", "address", "role", "state"] as const;
const followerNumberKeys = ["match", "lag"] as const;

/**
 * What the node behind `address` said of itself in JSON. What is not of the kind it should be is left out, and control
 * characters are replaced: this is shown to people. Throws SyntaxError for what is no JSON.
 */
export function nodeStatusOf(address: string, json: string): NodeStatus {
  const fields = fieldsOf(JSON.parse(json));
  const followers = fields.get("followers");
  return {
    ...textsOf(fields, textKeys),
    ...numbersOf(fields, numberKeys),
    ...(Array.isArray(followers) ? { followers: followers.map(followerOf) } : {}),
    address,
    reachable: true,
  };
}

/** Members that the leader tells of and that are not where it looks for them: another node answers there. */
export function displacedOf(nodes: readonly NodeStatus[]): NodeStatus[] {
  const told = new Set(nodes.map(({ nodeId }) => nodeId));
  const followers = nodes.flatMap((node) => node.followers ?? []);
  return followers.flatMap(({ nodeId, address }): NodeStatus[] => {
    const other = nodes.find((node) => node.reachable && node.address === address);
    if (nodeId === undefined || address === undefined || told.has(nodeId) || other?.nodeId === undefined)
      return [];
    const error = `node ${nodeId} is expected at this address, and node ${other.nodeId} answers there`;
    return [{ address, reachable: false, nodeId, error }];
  });
}

function followerOf(said: unknown): FollowerStatus {
  const fields = fieldsOf(said);
  return { ...textsOf(fields, followerTextKeys), ...numbersOf(fields, followerNumberKeys) };
}

type Fields = ReadonlyMap<string, unknown>;

function fieldsOf(said: unknown): Fields {
  return new Map(typeof said === "object" && said !== null ? Object.entries(said) : []);
}

function textsOf<Key extends string>(fields: Fields, keys: readonly Key[]): { [key in Key]?: string } {
  const texts: { [key in Key]?: string } = {};
  for (const key of keys) {
    const value = fields.get(key);
    if (typeof value === "string") texts[key] = printable(value);
  }
  return texts;
}

function numbersOf<Key extends string>(fields: Fields, keys: readonly Key[]): { [key in Key]?: number } {
  const numbers: { [key in Key]?: number } = {};
  for (const key of keys) {
    const value = fields.get(key);
    if (typeof value === "number") numbers[key] = value;
  }
  return numbers;
}
