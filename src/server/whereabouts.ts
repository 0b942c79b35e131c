import type { Clock } from "../env/clock.ts";
import type { Net } from "../env/net.ts";
import { type Address, formatAddress, parseAddress, parseFindableAddress } from "../lib/address.ts";
import type { NodeId } from "../raft/types.ts";
import { AddressBook } from "./address-book.ts";
import { MemberSearch } from "./member-search.ts";
import type { Member } from "./members.ts";

export interface WhereaboutsOptions {
  readonly env: { readonly clock: Clock; readonly net: Net };
  readonly clusterId: string;
  readonly nodeId: NodeId;
  /** Where this node listens. */
  readonly address: Address;
  /** The servers that its configuration lists. */
  readonly listed: readonly Address[];
  /** In force. */
  readonly members: () => readonly Member[];
  /** Whether the node has answered where it is dialled. */
  readonly isMet: (nodeId: NodeId) => boolean;
  /** Where a node that has dialled this one says that it is found. */
  readonly saidBy: (nodeId: NodeId) => string | undefined;
  /** Some member is looked for elsewhere than before. */
  readonly changed: () => void;
}

/**
 * Where this node looks for each member: where the list of members says, or where the member was met after it had moved.
 * Members are known by their ids; an address may be reused, swapped, or be that of a dead member and its successor.
 */
export class Whereabouts {
  readonly #options: WhereaboutsOptions;
  readonly #own: string;
  readonly #book: AddressBook;
  readonly #search: MemberSearch;

  constructor(options: WhereaboutsOptions) {
    this.#options = options;
    this.#own = formatAddress(options.address);
    this.#book = new AddressBook(options.env.clock);
    const { env, clusterId } = options;
    this.#search = new MemberSearch({
      env,
      clusterId,
      places: () => this.#places(),
      met: (nodeId, address) => this.met(nodeId, address),
    });
  }

  stop(): void {
    this.#search.stop();
  }

  addressOf(member: Member): string {
    return member.nodeId === this.#options.nodeId ? this.#own : this.#book.addressOf(member);
  }

  /** Where members of the cluster may be, each place once and without this node's own. */
  get all(): readonly Address[] {
    const { listed, members } = this.#options;
    const others = members().filter(({ nodeId }) => nodeId !== this.#options.nodeId);
    const names = [...others.map((member) => this.addressOf(member)), ...listed.map(formatAddress)];
    return [...new Set(names)]
      .filter((name) => name !== this.#own)
      .flatMap((name) => parseAddress(name) ?? []);
  }

  /** This node is there: it has dialled and said so, or it has answered a dial. */
  met(nodeId: NodeId, address: string | undefined): void {
    const member = this.#find(nodeId);
    if (member === undefined || address === undefined || address === this.#own) return;
    if (this.#options.isMet(nodeId)) return;
    const isAddress = parseFindableAddress(address) !== undefined;
    if (isAddress && this.#book.found(member, address)) this.#options.changed();
  }

  /**
   * Whether the node has dialled this one, and says that it is found at another address: that nobody is at its former one
   * shows no death then, but that it was started anew, and it may lead again.
   */
  isElsewhere(nodeId: NodeId, address: string): boolean {
    const said = this.#options.saidBy(nodeId);
    return said !== undefined && said !== address;
  }

  /** A dial has not met the node there, and maybe another one. */
  missed(nodeId: NodeId, address: string, found: NodeId | undefined): void {
    if (found !== undefined) this.met(found, address);
    const member = this.#find(nodeId);
    if (member === undefined) return;
    if (this.#book.missed(member, address)) return this.#options.changed();
    const said = this.#options.saidBy(nodeId);
    if (said !== undefined && said !== address) this.met(nodeId, said);
  }

  #find(nodeId: NodeId): Member | undefined {
    if (nodeId === this.#options.nodeId) return undefined;
    return this.#options.members().find((member) => member.nodeId === nodeId);
  }

  /**
   * While a member is missed: places where nobody is looked for by a peer's own dials. Most are in the configuration; a
   * member that has this node's former address is found by the list of members.
   */
  #places(): readonly Address[] {
    const { members, listed, nodeId, isMet } = this.#options;
    const others = members().filter((member) => member.nodeId !== nodeId);
    if (others.every((member) => isMet(member.nodeId))) return [];
    const dialled = new Set(others.map((member) => this.addressOf(member)));
    const names = new Set([...listed.map(formatAddress), ...members().map(({ address }) => address)]);
    return [...names]
      .filter((name) => name !== this.#own && !dialled.has(name))
      .flatMap((name) => parseAddress(name) ?? []);
  }
}
