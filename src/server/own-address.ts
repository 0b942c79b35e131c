import type { Clock } from "../env/clock.ts";
import type { Net } from "../env/net.ts";
import { type Address, formatAddress, parseAddress } from "../lib/address.ts";
import { KvraftError } from "../lib/error.ts";
import type { NodeId } from "../raft/types.ts";
import { Joining } from "./joining.ts";
import type { Member } from "./members.ts";

export interface OwnAddressOptions {
  readonly env: { readonly clock: Clock; readonly net: Net };
  readonly clusterId: string;
  readonly nodeId: NodeId;
  /** Where this node listens. */
  readonly address: Address;
  /** The servers that its configuration lists. */
  readonly listed: readonly Address[];
  /** The server that let it in, if it joined. */
  readonly join: Address | undefined;
  readonly log: (level: "warn" | "info", line: string) => void;
  /** The cluster does not want this node. */
  readonly failed: (error: KvraftError) => void;
}

/**
 * Sees to it that the cluster looks for this node where it is. The members that are replicated count, not those that a
 * configuration lists; but where this node is it knows best itself.
 */
export class OwnAddress {
  readonly #options: OwnAddressOptions;
  readonly #own: string;
  #asking: Joining | undefined;

  constructor(options: OwnAddressOptions) {
    this.#options = options;
    this.#own = formatAddress(options.address);
  }

  /** Compares what the members' list says, and asks the others to change what is wrong. */
  check(members: readonly Member[]): void {
    const { nodeId, join } = this.#options;
    const known = members.find((member) => member.nodeId === nodeId)?.address;
    if (known !== undefined && known !== this.#own) this.#moved(known, members);
    // It may have been removed before it got anything, and those who would tell it do not dial it any more.
    if (members.length === 0 && join !== undefined) this.#ask([join]);
    this.#compareLists(members);
  }

  stop(): void {
    this.#asking?.stop();
  }

  #compareLists(members: readonly Member[]): void {
    const listed = this.#options.listed.map(formatAddress).toSorted().join(" ");
    const found = members
      .map(({ address }) => address)
      .toSorted()
      .join(" ");
    if (found !== "" && listed !== found)
      this.#options.log(
        "warn",
        `The configuration lists ${listed}, and the cluster's members are ${found}: the members count`,
      );
  }

  /** The others dial the old address. */
  #moved(known: string, members: readonly Member[]): void {
    this.#options.log(
      "warn",
      `The cluster looks for this node at ${known}, and it is at ${this.#own} now: asking the others to change that`,
    );
    const others = members.filter(({ nodeId }) => nodeId !== this.#options.nodeId);
    if (others.length > 0) this.#ask(others.map(({ address }) => parseAddress(address)!));
  }

  /** Asks to be found at its address, as a member of the cluster; ends this node when it is none any more. */
  #ask(via: readonly Address[]): void {
    const { env, clusterId, nodeId, address, log, failed } = this.#options;
    this.#asking = new Joining({
      env,
      via,
      clusterId,
      nodeId,
      address,
      log: (line) => log("info", line),
    });
    this.#asking.run().then(
      () => log("info", `The cluster looks for this node at ${this.#own} now`),
      (error: unknown) => {
        if (!(error instanceof KvraftError)) throw error;
        failed(error);
      },
    );
  }
}
