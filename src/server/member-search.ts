import type { Clock, Timer } from "../env/clock.ts";
import type { Net } from "../env/net.ts";
import { type Address, formatAddress } from "../lib/address.ts";
import type { NodeId } from "../raft/types.ts";
import { ClientEnd } from "../rpc/client-end.ts";
import { type HelloReply, makeHello, noId } from "../rpc/hello.ts";

export interface MemberSearchOptions {
  readonly env: { readonly clock: Clock; readonly net: Net };
  readonly clusterId: string;
  /** Addresses at which a member may be that is not where it is looked for; none while nobody is missed. */
  readonly places: () => readonly Address[];
  /** A node of this cluster has answered there. */
  readonly met: (nodeId: NodeId, address: string) => void;
}

/** Between two rounds, in ms. */
const everyMs = 500;

/**
 * Asks who is where, while members are missed: after all of them were moved at once nobody is where the list of members
 * says, and only their configurations name the new addresses. It says hello as a client does, and hangs up on the answer.
 */
export class MemberSearch {
  readonly #options: MemberSearchOptions;
  readonly #ends = new Map<string, ClientEnd>();
  #timer: Timer | undefined;
  #isOver = false;

  constructor(options: MemberSearchOptions) {
    this.#options = options;
    this.#later();
  }

  stop(): void {
    this.#isOver = true;
    this.#timer?.cancel();
    for (const end of this.#ends.values()) void end.close();
    this.#ends.clear();
  }

  #later(): void {
    this.#timer = this.#options.env.clock.after(everyMs, () => {
      for (const address of this.#options.places()) this.#ask(address);
      this.#later();
    });
  }

  #ask(address: Address): void {
    const name = formatAddress(address);
    if (this.#ends.has(name)) return;
    const { env, clusterId } = this.#options;
    const hello = makeHello({ clusterId, nodeId: noId, role: "client", purpose: "client" });
    const end = new ClientEnd(env, address, hello, {
      onConnected: (reply) => this.#answered(name, reply),
      onDialFailed: ({ reply }) => this.#answered(name, reply),
    });
    this.#ends.set(name, end);
    end.connect();
  }

  #answered(name: string, reply: HelloReply | undefined): void {
    if (this.#isOver) return;
    void this.#ends.get(name)?.close();
    this.#ends.delete(name);
    if (reply === undefined || reply.clusterId !== this.#options.clusterId) return;
    this.#options.met(reply.nodeId as NodeId, name);
  }
}
