import type { MemberChange, MemberReference } from "../../src/client/kv-client.ts";
import { assert } from "../../src/lib/assert.ts";
import type { NodeId } from "../../src/raft/types.ts";
import type { Members } from "../../src/server/members.ts";

/**
 * Whether what was decided of the members is what somebody asked for. Commands that are wrong count as asked for, too, but for
 * what they say: to replace a voter by another one is not to remove it.
 */
export class ChangeChecker {
  readonly #promoted = new Set<string>();
  readonly #removed = new Set<string>();
  /** `old new`. */
  readonly #replaced = new Set<string>();
  /** The last one without a change under way. */
  #settled: Members | undefined;
  /** How often a member has got another address, and how often two had one. */
  addressChanges = 0;
  sharedAddresses = 0;

  /** Before it is asked for. */
  asked({ promote = [], remove = [], replace = [] }: MemberChange): void {
    for (const each of promote) this.#promoted.add(idOf(each));
    for (const each of remove) this.#removed.add(idOf(each));
    for (const pair of replace) this.#replaced.add(`${idOf(pair.old)} ${idOf(pair.new)}`);
  }

  /** Each configuration in its order. */
  decided(members: Members): void {
    if (members.outgoing.length > 0) return;
    const before = this.#settled;
    this.#settled = members;
    if (before === undefined) return;
    this.#count(before, members);
    const come = members.incoming.filter((id) => !before.incoming.includes(id));
    const gone = before.list.map(({ nodeId }) => nodeId).filter((id) => !isIn(members, id));
    for (const id of come) {
      const isAsked = this.#promoted.has(id) || gone.some((old) => this.#replaced.has(`${old} ${id}`));
      assert(isAsked, `${id} became a voter, and nobody has asked for that`);
    }
    for (const id of gone) {
      const isAsked = this.#removed.has(id) || come.some((next) => this.#replaced.has(`${id} ${next}`));
      assert(
        isAsked,
        `${id} was removed, and nobody has asked for that: ${members.incoming.length} voters are left`,
      );
    }
  }

  #count(before: Members, { list }: Members): void {
    const addressOf = new Map(before.list.map(({ nodeId, address }) => [nodeId, address]));
    const hasMoved = ({ nodeId, address }: Members["list"][number]) =>
      addressOf.has(nodeId) && addressOf.get(nodeId) !== address;
    this.addressChanges += list.filter(hasMoved).length;
    if (new Set(list.map(({ address }) => address)).size < list.length) this.sharedAddresses++;
  }
}

function isIn({ list }: Members, id: NodeId): boolean {
  return list.some(({ nodeId }) => nodeId === id);
}

function idOf(reference: MemberReference): string {
  return typeof reference === "string" ? reference : reference.nodeId;
}
