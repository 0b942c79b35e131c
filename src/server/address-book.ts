import type { Clock } from "../env/clock.ts";
import type { NodeId } from "../raft/types.ts";
import type { Member } from "./members.ts";

/** A member was met elsewhere than the list of members says, or was looked for elsewhere in vain. */
interface Note {
  /** What the list said then: with another entry there the note is out of date. */
  readonly listed: string;
  readonly address: string;
  /** Nobody is looked for at `address` before this moment; undefined while it is where the member was met. */
  readonly notBeforeMs: number | undefined;
}

/** After a dial in vain a node is not looked for there again for so long, in ms: two places in turn are no search. */
const restMs = 5_000;

/**
 * Where the members are that have moved, until the list of members says so. A node knows its address best: it says it in its
 * hellos, and whoever answers at an address is there. What stands here decides only whom to dial where: nothing is said to a
 * node that has not shown its id.
 */
export class AddressBook {
  readonly #clock: Clock;
  readonly #notes = new Map<NodeId, Note>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Where to look for a member. */
  addressOf(member: Member): string {
    const note = this.#noteOf(member);
    return note?.notBeforeMs === undefined ? (note?.address ?? member.address) : member.address;
  }

  /** The member was met there. Returns whether it is looked for elsewhere than before. */
  found(member: Member, address: string): boolean {
    if (address === this.addressOf(member)) return false;
    const note = this.#noteOf(member);
    const isResting = note?.address === address && this.#clock.monotonicMs() < (note.notBeforeMs ?? 0);
    if (isResting) return false;
    if (address === member.address) this.#notes.delete(member.nodeId);
    else this.#notes.set(member.nodeId, { listed: member.address, address, notBeforeMs: undefined });
    return true;
  }

  /** It was not there when it was dialled. Returns whether it is looked for elsewhere than before. */
  missed(member: Member, address: string): boolean {
    const note = this.#noteOf(member);
    if (note === undefined || note.notBeforeMs !== undefined || note.address !== address) return false;
    this.#notes.set(member.nodeId, { ...note, notBeforeMs: this.#clock.monotonicMs() + restMs });
    return true;
  }

  #noteOf({ nodeId, address }: Member): Note | undefined {
    const note = this.#notes.get(nodeId);
    return note?.listed === address ? note : undefined;
  }
}
