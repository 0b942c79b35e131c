import type { SessionStamp } from "../kv/command.ts";
import { assert } from "../lib/assert.ts";
import type { EntryId } from "../raft/types.ts";

/** Somebody who waits for the outcome of an entry. `Reply` is whatever leads back to the client. */
export interface Waiter<Reply> extends EntryId {
  /** Undefined once it was told that its time is up: the entry is still under way, and must be found. */
  reply: Reply | undefined;
  readonly deadlineMs: number;
  readonly session: SessionStamp | undefined;
  /** Who else waits for the same entry: a client that asked again while it was still under way. */
  next: Waiter<Reply> | undefined;
}

/**
 * Who waits for which entry, found by log index **and** term: an entry that was overwritten by another leader's is
 * never answered as its successor. Holds one chain per entry that this leader has proposed and not applied, also when
 * nobody waits any more: a command that is sent again joins its entry, and is never appended a second time.
 */
export class Waiters<Reply> {
  readonly #byIndex = new Map<number, Waiter<Reply>>();
  /** The first waiter of each chain, by session and sequence number. */
  readonly #bySession = new Map<string, Map<number, Waiter<Reply>>>();
  #count = 0;

  /** How many wait. */
  get count(): number {
    return this.#count;
  }

  add(
    index: number,
    term: number,
    session: SessionStamp | undefined,
    reply: Reply,
    deadlineMs: number,
  ): void {
    assert(!this.#byIndex.has(index), "a leader proposes one entry at an index");
    const waiter: Waiter<Reply> = { index, term, session, reply, deadlineMs, next: undefined };
    this.#byIndex.set(index, waiter);
    this.#count++;
    if (session === undefined) return;
    const others = this.#bySession.get(session.name);
    if (others === undefined) this.#bySession.set(session.name, new Map([[session.sequence, waiter]]));
    else if (!others.has(session.sequence)) others.set(session.sequence, waiter);
  }

  /** Lets a duplicate wait with the original. Returns false when no original is under way. */
  join(session: SessionStamp, reply: Reply, deadlineMs: number): boolean {
    const original = this.#bySession.get(session.name)?.get(session.sequence);
    if (original?.session?.bornMs !== session.bornMs) return false;
    const { index, term, next } = original;
    original.next = { index, term, session, reply, deadlineMs, next };
    this.#count++;
    return true;
  }

  /** Takes out the chain at `index`, whatever its term. */
  take(index: number): Waiter<Reply> | undefined {
    const waiter = this.#byIndex.get(index);
    if (waiter === undefined) return undefined;
    this.#byIndex.delete(index);
    this.#forget(waiter);
    for (let each: Waiter<Reply> | undefined = waiter; each !== undefined; each = each.next)
      if (each.reply !== undefined) this.#count--;
    return waiter;
  }

  /** Takes out all chains, in log order. */
  takeAll(): Waiter<Reply>[] {
    const all = [...this.#byIndex.values()];
    this.#byIndex.clear();
    this.#bySession.clear();
    this.#count = 0;
    return all;
  }

  /** Takes out the replies whose deadline has passed; of their chains at least the first waiter stays. */
  takeExpired(nowMs: number): Reply[] {
    const expired: Reply[] = [];
    for (const first of this.#byIndex.values()) {
      let last = first;
      for (let each: Waiter<Reply> | undefined = first; each !== undefined; each = each.next) {
        if (each.deadlineMs > nowMs) last = each;
        else {
          if (each.reply !== undefined) expired.push(each.reply);
          each.reply = undefined;
          if (each !== first) last.next = each.next;
        }
      }
    }
    this.#count -= expired.length;
    return expired;
  }

  #forget(waiter: Waiter<Reply>): void {
    if (waiter.session === undefined) return;
    const { name, sequence } = waiter.session;
    const others = this.#bySession.get(name);
    if (others?.get(sequence) !== waiter) return;
    others.delete(sequence);
    if (others.size === 0) this.#bySession.delete(name);
  }
}
