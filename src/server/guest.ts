import type { NodeId } from "../raft/types.ts";
import type { HelloPurpose } from "../rpc/hello.ts";

/** What a node remembers of an accepted connection. */
export interface Guest {
  readonly purpose: HelloPurpose;
  /** The peer's node id; undefined for clients, and during formation. */
  readonly peer: NodeId | undefined;
  /** Of the peer's process; empty for others. */
  readonly bootId: string;
  /** `host:port` where the peer says that it is found. */
  readonly address?: string | undefined;
  /** Frames wait for the end of the turn. */
  isDirty: boolean;
}
