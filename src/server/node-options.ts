import type { ServerConfig } from "../config/config.ts";
import type { Env } from "../env/env.ts";
import type { Prng } from "../env/prng.ts";
import type { Address } from "../lib/address.ts";
import type { ByteWriter } from "../lib/codec.ts";
import type { KvraftError } from "../lib/error.ts";
import type { Message, NodeId } from "../raft/types.ts";
import type { DataFolder } from "./data-folder.ts";
import type { Identity } from "./identity.ts";

/** What a node needs of the server around it. */
export interface NodeOptions {
  readonly env: Env;
  readonly config: ServerConfig;
  readonly identity: Identity;
  readonly folder: DataFolder;
  /** A server of the cluster: asked by a node that has been let in and does not know any member yet. */
  readonly join?: Address;
  readonly prng: Prng;
  readonly log: (level: "error" | "warn" | "info" | "debug", line: string) => void;
  readonly failed: (error: KvraftError) => void;
  /** These nodes are members no more: nobody listens to them. */
  readonly removed: (nodeIds: readonly NodeId[]) => void;
  /** Others are members than before, for good. */
  readonly membersChanged: () => void;
  /**
   * Sends a message to a node that has dialled this one; false when there is none. For a leader that this node has yet to
   * learn of, whose address comes with the configuration, and that comes with what it sends; and for a member that has
   * moved, whose new address can only be decided on when its votes and acknowledgements count.
   */
  readonly sendBack: (message: Message, bootId: string) => boolean;
  /** Tells every member that has dialled this node. */
  readonly tellBack: (method: number, write: (body: ByteWriter) => void) => void;
  /** Where a process that has dialled this one says that it is found. */
  readonly addressOf: (nodeId: NodeId, bootId: string) => string | undefined;
  /** Sends on a connection that this process has dialled; false when there is none. */
  readonly tellGuest: (
    nodeId: NodeId,
    bootId: string,
    method: number,
    write: (body: ByteWriter) => void,
  ) => boolean;
  readonly isGuest: (nodeId: NodeId, bootId: string) => boolean;
  /** Closes the connections that these processes of a node have dialled. */
  readonly hangUp: (nodeId: NodeId, isIt: (bootId: string) => boolean, text: string) => void;
}
