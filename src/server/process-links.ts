import type { ByteWriter } from "../lib/codec.ts";
import type { NodeId } from "../raft/types.ts";
import { method } from "../rpc/method.ts";
import { type BootMessage, encodeBootMessage } from "./boot-messages.ts";
import type { NodeOptions } from "./node-options.ts";
import type { Peers } from "./peers.ts";

/**
 * The connections with single processes of other nodes, whichever side has dialled them: also with those that do not count,
 * or not yet.
 */
export class ProcessLinks {
  readonly #peers: () => Peers;
  readonly #guests: Pick<NodeOptions, "tellGuest" | "isGuest" | "hangUp">;

  constructor(peers: () => Peers, guests: Pick<NodeOptions, "tellGuest" | "isGuest" | "hangUp">) {
    this.#peers = peers;
    this.#guests = guests;
  }

  /** Sends to exactly that process; false when there is no connection with it. */
  send(nodeId: NodeId, bootId: string, message: BootMessage): boolean {
    const write = (body: ByteWriter) => encodeBootMessage(body, message);
    return (
      this.#peers().tellProcess(nodeId, bootId, method.boots, write) ||
      this.#guests.tellGuest(nodeId, bootId, method.boots, write)
    );
  }

  isConnected(nodeId: NodeId, bootId: string): boolean {
    return this.#peers().isDialled(nodeId, bootId) || this.#guests.isGuest(nodeId, bootId);
  }

  /** Closes all connections with those processes of a node. */
  hangUp(nodeId: NodeId, isIt: (bootId: string) => boolean, text: string): void {
    this.#peers().hangUp(nodeId, isIt, text);
    this.#guests.hangUp(nodeId, isIt, text);
  }
}
