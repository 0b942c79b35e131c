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
