import type { ByteWriter } from "../lib/codec.ts";
import type { Message, NodeId } from "../raft/types.ts";
import type { CallResult } from "../rpc/pending-calls.ts";
import { Peer, type PeerOptions } from "./peer.ts";

/** What goes for every peer, and who they are at first: see `update`. */
export interface PeersOptions extends PeerOptions {
  readonly peers: readonly PeerAddress[];
}

export interface PeerAddress {
  readonly nodeId: NodeId;
  /** `host:port`. */
  readonly address: string;
}

/**
 * The connections this node dials to its peers: two to each, so that nothing large stands in front of a heartbeat.
 * Each side dials its own pair and sends on it; what comes back arrives on the pair that the other side dialled.
 */
export class Peers {
  readonly #options: PeersOptions;
  readonly #peers = new Map<NodeId, Peer>();
  /** Of those who are no peers any more. */
  readonly #closing = new Set<Promise<void>>();
  #isClosed = false;

  constructor(options: PeersOptions) {
    this.#options = options;
    this.update(options.peers);
  }

  /**
   * From now on these are the peers: everybody but this node. Dials who is new, closes who is not among them, and does
   * both with those who have another address. The connections of the others stay as they are.
   */
  update(peers: readonly PeerAddress[]): void {
    if (this.#isClosed) return;
    const addressById = new Map(peers.map(({ nodeId, address }) => [nodeId, address]));
    for (const [nodeId, peer] of [...this.#peers])
      if (addressById.get(nodeId) !== peer.address) this.#drop(nodeId, peer);
    for (const [nodeId, address] of addressById)
      if (!this.#peers.has(nodeId)) this.#peers.set(nodeId, new Peer(this.#options, nodeId, address));
  }

  /** Encodes the message; false when it cannot leave: no connection, or its queue is full. */
  send(message: Message): boolean {
    return this.#peers.get(message.to)?.send(message) ?? false;
  }

  /** Whether the peer has answered on the connection that such a message takes. */
  isConnected(message: Message): boolean {
    return this.#peers.get(message.to)?.isConnected(message) ?? false;
  }

  /** Whether the node has answered at the address where it is dialled. */
  isMet(nodeId: NodeId): boolean {
    return this.#peers.get(nodeId)?.isMet === true;
  }

  /** Whether that process of a node answers where this node dials it. */
  isDialled(nodeId: NodeId, bootId: string): boolean {
    return this.#peers.get(nodeId)?.isDialled(bootId) ?? false;
  }

  /** Sends to that process of a node at once; false when it does not answer where it is dialled. */
  tellProcess(nodeId: NodeId, bootId: string, method: number, write: (body: ByteWriter) => void): boolean {
    return this.#peers.get(nodeId)?.tellProcess(bootId, method, write) ?? false;
  }

  /** Drops the connections with those processes of a node. */
  hangUp(nodeId: NodeId, isIt: (bootId: string) => boolean, text: string): void {
    this.#peers.get(nodeId)?.hangUp(isIt, text);
  }

  /** The node has connected to this one: it lives, whatever becomes of a dial that was made before. */
  cameBack(nodeId: NodeId): void {
    this.#peers.get(nodeId)?.cameBack();
  }

  /**
   * Sends a request on the bulk connection and resolves with the reply's body, or with why there is none; at once, and
   * with nothing sent, while the node has not answered there. See ClientEnd.call.
   */
  call(
    nodeId: NodeId,
    method: number,
    write: (body: ByteWriter) => void,
    timeoutMs: number,
  ): Promise<CallResult> {
    const peer = this.#peers.get(nodeId);
    if (peer !== undefined) return peer.call(method, write, timeoutMs);
    return Promise.resolve({
      ok: false,
      reason: "unreachable",
      wasSent: false,
      text: `Node ${nodeId} is no peer`,
    });
  }

  /** Hands what was encoded to the sockets. */
  flush(): void {
    for (const peer of this.#peers.values()) peer.flush();
  }

  /** Closes all of them for good; resolves when the connections are gone, also those of earlier peers. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const [nodeId, peer] of [...this.#peers]) this.#drop(nodeId, peer);
    await Promise.all(this.#closing);
  }

  #drop(nodeId: NodeId, peer: Peer): void {
    this.#peers.delete(nodeId);
    const closing = peer.close().then(() => {
      this.#closing.delete(closing);
    });
    this.#closing.add(closing);
  }
}
