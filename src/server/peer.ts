import type { Clock } from "../env/clock.ts";
import type { Net } from "../env/net.ts";
import { type Address, formatAddress, parseAddress } from "../lib/address.ts";
import { assert } from "../lib/assert.ts";
import type { ByteWriter } from "../lib/codec.ts";
import type { Chance, Message, NodeId } from "../raft/types.ts";
import { ClientEnd, type DialFailure } from "../rpc/client-end.ts";
import type { Frame } from "../rpc/frame.ts";
import { type HelloReply, makeHello, type ProcessStart } from "../rpc/hello.ts";
import type { CallResult } from "../rpc/pending-calls.ts";
import { LossVerdict } from "./loss-verdict.ts";
import { encodeMessage, type Lane, laneOf, methodOf } from "./raft-messages.ts";

export interface PeerOptions {
  readonly env: { readonly clock: Clock; readonly net: Net };
  readonly clusterId: string;
  readonly nodeId: NodeId;
  /** `host:port` where this node is found: who does not know it yet can dial it back. */
  readonly address?: string;
  /** What this process says of its own start. */
  readonly start?: ProcessStart;
  readonly chance: Chance;
  readonly log: (line: string) => void;
  /**
   * The process of a peer that was connected has ended: its machine says that nothing listens there any more, or another
   * node answers. Told at most once for each connection that is lost, and soon after it or never: not
   * of a connection that was merely reset, and not of a machine that does not answer, since a network that is cut looks
   * the same. Never told from inside a call to the peers.
   */
  /** A message that the peer sent back on a connection which this node has dialled. Throws DecodeError. */
  readonly message?: (from: NodeId, bootId: string, frame: Frame) => void;
  /** The peer has answered a hello; returns whether its process is one to talk to. All are if not said. */
  readonly met?: (nodeId: NodeId, reply: HelloReply) => boolean;
  /** Whether this process of the peer counts: only then is it sent anything of Raft. All do if not said. */
  readonly counts?: (nodeId: NodeId, bootId: string) => boolean;
  /** The peer refuses this process for its boot; `isFinal` if it does so as a leader. */
  readonly refusedBy?: (nodeId: NodeId, isFinal: boolean, text: string) => void;
  readonly gone?: (nodeId: NodeId, address: string) => void;
  /**
   * A dial has not met the node at that address: nobody answers there, or another node does, or one that says nothing.
   * Never told from inside a call to the peers.
   */
  readonly missed?: (nodeId: NodeId, address: string, found: NodeId | undefined) => void;
  /**
   * A peer has answered that this node was removed from the cluster. Told at each dial that is answered so; dials go on.
   * Never told from inside a call to the peers.
   */
  readonly removed?: (text: string) => void;
}

/**
 * The two connections to one peer at one address. A peer that moves is another `Peer`, so that nothing that was meant
 * for one address, or answered from there, is taken for the other's.
 */
export class Peer {
  /** As it was given. */
  readonly address: string;
  readonly #nodeId: NodeId;
  readonly #name: string;
  readonly #options: PeerOptions;
  readonly #ends: Record<Lane, ClientEnd>;
  /** The lanes on which the expected node has answered: another one must not get its messages. */
  readonly #isVerified: Record<Lane, boolean> = { control: false, bulk: false };
  /** The boot of the process that answered there. */
  readonly #boots: Record<Lane, string> = { control: "", bulk: "" };
  readonly #verdict: LossVerdict;
  /** The last thing told of this peer: redials that fail in the same way are no news. */
  #told = "";

  constructor(options: PeerOptions, nodeId: NodeId, address: string) {
    this.address = address;
    const parsed = parseAddress(address);
    assert(parsed !== undefined, "the address of a member can be parsed");
    this.#nodeId = nodeId;
    this.#name = formatAddress(parsed);
    this.#options = options;
    this.#verdict = new LossVerdict(options.env.clock, nodeId);
    this.#ends = { control: this.#dial("control", parsed), bulk: this.#dial("bulk", parsed) };
  }

  send(message: Message): boolean {
    const lane = laneOf(message);
    if (!this.#mayUse(lane)) return false;
    const body = this.#ends[lane].beginMessage(methodOf[message.kind]);
    if (body === undefined) return false;
    encodeMessage(body, message);
    this.#ends[lane].endMessage();
    return true;
  }

  isConnected(message: Message): boolean {
    return this.#mayUse(laneOf(message));
  }

  /** Whether that process answers here. */
  isDialled(bootId: string): boolean {
    return this.#isVerified.control && this.#boots.control === bootId;
  }

  /** Sends to that process, whether it counts or not; false when it does not answer here. */
  tellProcess(bootId: string, method: number, write: (body: ByteWriter) => void): boolean {
    if (!this.isDialled(bootId) || !this.#ends.control.send(method, write)) return false;
    this.#ends.control.flush();
    return true;
  }

  /** Drops the connections with those processes. */
  hangUp(isIt: (bootId: string) => boolean, text: string): void {
    for (const lane of ["control", "bulk"] as const) {
      if (!this.#isVerified[lane] || !isIt(this.#boots[lane])) continue;
      this.#isVerified[lane] = false;
      this.#ends[lane].disconnect(text);
    }
  }

  /** Whether it has answered on the connection for what is urgent. */
  get isMet(): boolean {
    return this.#isVerified.control;
  }

  /** It has connected to this node. */
  cameBack(): void {
    this.#verdict.cameBack();
  }

  call(method: number, write: (body: ByteWriter) => void, timeoutMs: number): Promise<CallResult> {
    if (this.#mayUse("bulk")) return this.#ends.bulk.call(method, write, timeoutMs);
    // The end would keep it for whoever answers the next dial.
    const text = `Cannot call ${this.#name}: node ${this.#nodeId} is not connected`;
    return Promise.resolve({ ok: false, reason: "unreachable", wasSent: false, text });
  }

  flush(): void {
    this.#ends.control.flush();
    this.#ends.bulk.flush();
  }

  /** Sends what is queued and resolves when both connections are gone; nothing is told of the peer any more. */
  async close(): Promise<void> {
    this.#isVerified.control = false;
    this.#isVerified.bulk = false;
    await Promise.all([this.#ends.control.close(), this.#ends.bulk.close()]);
  }

  #mayUse(lane: Lane): boolean {
    return this.#isVerified[lane] && (this.#options.counts?.(this.#nodeId, this.#boots[lane]) ?? true);
  }

  #dial(lane: Lane, address: Address): ClientEnd {
    const { env, chance, clusterId, nodeId, address: own, start } = this.#options;
    const fields = { ...(own && { address: own }), ...(start && { start }) };
    const hello = makeHello({ clusterId, nodeId, role: "peer", purpose: lane, ...fields });
    return new ClientEnd(env, address, hello, {
      keepConnected: { chance },
      onFrame: (frame) => {
        if (this.#isVerified[lane]) this.#options.message?.(this.#nodeId, this.#boots[lane], frame);
      },
      onConnected: (reply) => this.#connected(lane, reply),
      onLost: (text, wasSilent) => this.#lost(lane, text, wasSilent),
      onDialFailed: (failure) => this.#failed(lane, failure),
    });
  }

  #connected(lane: Lane, reply: HelloReply): void {
    const isGone = lane === "control" && this.#verdict.isGone({ kind: "answer", reply });
    if (reply.nodeId === this.#nodeId) {
      this.#boots[lane] = reply.bootId;
      this.#isVerified[lane] = this.#options.met?.(this.#nodeId, reply) ?? true;
      if (!this.#isVerified[lane]) this.#ends[lane].disconnect("its process is refused");
      else if (this.#isVerified.control && this.#isVerified.bulk) this.#tell(`connected to ${this.#name}`);
    } else {
      this.#tell(
        `Cannot use ${this.#name}: node ${reply.nodeId} answers there, ${this.#nodeId} was expected`,
      );
      this.#ends[lane].disconnect("another node answers there");
      if (lane === "control") this.#options.missed?.(this.#nodeId, this.address, reply.nodeId as NodeId);
    }
    if (isGone) this.#options.gone?.(this.#nodeId, this.address);
  }

  #lost(lane: Lane, text: string, wasSilent: boolean): void {
    // Of one that was hung up on because another node answers there, that was told already.
    if (!this.#isVerified[lane]) return;
    this.#isVerified[lane] = false;
    // Both connections end with the process; one of them is enough to tell. A silence is no end: and of a machine that is
    // cut off, the system may say that it refused.
    if (lane === "control" && !wasSilent) this.#verdict.lost();
    this.#tell(text);
  }

  #failed(lane: Lane, failure: DialFailure): void {
    const isGone = lane === "control" && this.#verdict.isGone(failure);
    const { reply } = failure;
    this.#tell(failure.text);
    // Who is there and refuses is not missed.
    if (lane === "control" && reply?.nodeId !== this.#nodeId && failure.kind !== "hang-up")
      this.#options.missed?.(this.#nodeId, this.address, reply?.nodeId as NodeId | undefined);
    if (isGone) this.#options.gone?.(this.#nodeId, this.address);
    // What another cluster says is not about this one.
    if (reply?.clusterId !== this.#options.clusterId) return;
    if (reply.code === "removed") this.#options.removed?.(failure.text);
    else if ((reply.code === "boot" || reply.code === "condemned") && reply.nodeId === this.#nodeId)
      this.#options.refusedBy?.(this.#nodeId, reply.code === "condemned", reply.text);
  }

  #tell(line: string): void {
    if (line === this.#told) return;
    this.#told = line;
    this.#options.log(line);
  }
}
