import type { Clock } from "../env/clock.ts";
import type { Net } from "../env/net.ts";
import { type Address, formatAddress } from "../lib/address.ts";
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
  /** Where other members may be. */
  readonly others: () => readonly Address[];
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
  /** The members' addresses when it was last told that the configuration lists others. */
  #toldMembers = "";

  constructor(options: OwnAddressOptions) {
    this.#options = options;
    this.#own = formatAddress(options.address);
  }

  /**
   * Compares what the members' list says, and asks the others to change what is wrong: at the start, and whenever the list
   * changes, as an old log may hold an older list.
   */
  check(members: readonly Member[]): void {
    const { nodeId, join } = this.#options;
    const known = members.find((member) => member.nodeId === nodeId)?.address;
    if (known !== undefined && known !== this.#own) this.#moved(known);
    // It may have been removed before it got anything, or those who let it in may have moved: nobody dials it then.
    const others = [...(join === undefined ? [] : [join]), ...this.#options.others()];
    if (members.length === 0 && others.length > 0) this.#ask(others);
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
    if (found === "" || listed === found || found === this.#toldMembers) return;
    this.#toldMembers = found;
    this.#options.log(
      "warn",
      `The configuration lists ${listed}, and the cluster's members are ${found}: the members count`,
    );
  }

  /** The others dial the old address. They may have moved, too: they are asked wherever they may be. */
  #moved(known: string): void {
    const others = this.#options.others();
    if (this.#asking !== undefined || others.length === 0) return;
    this.#options.log(
      "warn",
      `The cluster looks for this node at ${known}, and it is at ${this.#own} now: asking the others to change that`,
    );
    this.#ask(others);
  }

  /** Asks to be found at its address, as a member of the cluster; ends this node when it is none any more. */
  #ask(via: readonly Address[]): void {
    const { env, clusterId, nodeId, address, log, failed } = this.#options;
    if (this.#asking !== undefined) return;
    this.#asking = new Joining({
      env,
      via,
      clusterId,
      nodeId,
      address,
      log: (line) => log("info", line),
    });
    this.#asking.run().then(
      () => {
        this.#asking = undefined;
        log("info", `The cluster looks for this node at ${this.#own} now`);
      },
      (error: unknown) => {
        if (!(error instanceof KvraftError)) throw error;
        failed(error);
      },
    );
  }
}
