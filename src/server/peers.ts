import type { Clock } from "../env/clock.ts";
import type { Net } from "../env/net.ts";
import { type Address, formatAddress } from "../lib/address.ts";
import type { Chance, Message, NodeId } from "../raft/types.ts";
import { ClientEnd } from "../rpc/client-end.ts";
import { type HelloReply, makeHello } from "../rpc/hello.ts";
import { encodeMessage, type Lane, laneOf, methodOf } from "./raft-messages.ts";

export interface PeersOptions {
  readonly env: { readonly clock: Clock; readonly net: Net };
  readonly clusterId: string;
  readonly nodeId: NodeId;
  readonly chance: Chance;
  /** Everybody else, with where to find them. */
  readonly peers: readonly { readonly nodeId: NodeId; readonly address: Address }[];
  readonly log: (line: string) => void;
}

/**
 * The connections this node dials to its peers: two to each, so that nothing large stands in front of a heartbeat.
 * Each side dials its own pair and sends on it; what comes back arrives on the pair that the other side dialled.
 */
export class Peers {
  readonly #peers = new Map<NodeId, Peer>();

  constructor(options: PeersOptions) {
    for (const { nodeId, address } of options.peers)
      this.#peers.set(nodeId, new Peer(options, nodeId, address));
  }

  /** Encodes the message; false when it cannot leave: no connection, or its queue is full. */
  send(message: Message): boolean {
    return this.#peers.get(message.to)?.send(message) ?? false;
  }

  /** Hands what was encoded to the sockets. */
  flush(): void {
    for (const peer of this.#peers.values()) peer.flush();
  }

  async close(): Promise<void> {
    await Promise.all([...this.#peers.values()].map((peer) => peer.close()));
  }
}

class Peer {
  readonly #nodeId: NodeId;
  readonly #name: string;
  readonly #log: (line: string) => void;
  readonly #ends: Record<Lane, ClientEnd>;
  /** The lanes on which the expected node has answered: another one must not get its messages. */
  readonly #isVerified: Record<Lane, boolean> = { control: false, bulk: false };
  /** The last thing told of this peer: redials that fail in the same way are no news. */
  #told = "";

  constructor(options: PeersOptions, nodeId: NodeId, address: Address) {
    this.#nodeId = nodeId;
    this.#name = formatAddress(address);
    this.#log = options.log;
    const dial = (lane: Lane) =>
      new ClientEnd(
        options.env,
        address,
        makeHello({ clusterId: options.clusterId, nodeId: options.nodeId, role: "peer", purpose: lane }),
        {
          keepConnected: { chance: options.chance },
          onConnected: (reply) => this.#connected(lane, reply),
          onLost: (text) => this.#lost(lane, text),
          onDialFailed: (failure) => this.#tell(failure.text),
        },
      );
    this.#ends = { control: dial("control"), bulk: dial("bulk") };
  }

  send(message: Message): boolean {
    const lane = laneOf(message);
    if (!this.#isVerified[lane]) return false;
    const body = this.#ends[lane].beginMessage(methodOf[message.kind]);
    if (body === undefined) return false;
    encodeMessage(body, message);
    this.#ends[lane].endMessage();
    return true;
  }

  flush(): void {
    this.#ends.control.flush();
    this.#ends.bulk.flush();
  }

  async close(): Promise<void> {
    await Promise.all([this.#ends.control.close(), this.#ends.bulk.close()]);
  }

  #connected(lane: Lane, reply: HelloReply): void {
    if (reply.nodeId !== this.#nodeId) {
      this.#tell(
        `Cannot use ${this.#name}: node ${reply.nodeId} answers there, ${this.#nodeId} was expected`,
      );
      this.#ends[lane].disconnect("another node answers there");
      return;
    }
    this.#isVerified[lane] = true;
    if (this.#isVerified.control && this.#isVerified.bulk) this.#tell(`connected to ${this.#name}`);
  }

  #lost(lane: Lane, text: string): void {
    // Of one that was hung up on because another node answers there, that was told already.
    if (!this.#isVerified[lane]) return;
    this.#isVerified[lane] = false;
    this.#tell(text);
  }

  #tell(line: string): void {
    if (line === this.#told) return;
    this.#told = line;
    this.#log(line);
  }
}
