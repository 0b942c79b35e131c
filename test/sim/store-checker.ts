import { assert } from "../../src/lib/assert.ts";
import { voters } from "../../src/raft/quorum.ts";
import type { Raft } from "../../src/raft/raft.ts";

/** What is a tick late: the moment at which the worker met the hang lies between two of them. */
const slackTicks = 4;

/**
 * That nobody leads for long, and nobody campaigns, whose store hangs while committed entries wait for it: the cluster
 * could go on under another node. Told at each tick of each core whether the syncs of its store's worker do not end.
 */
export class StoreChecker {
  readonly #electionTicksMin: number;
  readonly #electionTicksMax: number;
  /** Ticks, one after the other, at which a store hung and had not all that is committed. */
  readonly #heldUp = new WeakMap<Raft, number>();
  /** As last seen. */
  readonly #roles = new WeakMap<Raft, string>();
  /** Leaders that were held up for so long that they had to go. */
  hangingLeaders = 0;

  constructor(electionTicksMin: number, electionTicksMax: number) {
    this.#electionTicksMin = electionTicksMin;
    this.#electionTicksMax = electionTicksMax;
  }

  /** Before a tick. */
  ticked(raft: Raft, isHanging: boolean): void {
    const { commit, durable, applied } = raft.getState();
    const isHeldUp = isHanging && applied < Math.min(commit, durable);
    const ticks = isHeldUp ? (this.#heldUp.get(raft) ?? 0) + 1 : 0;
    this.#heldUp.set(raft, ticks);
    if (!raft.isLeader || voters(raft.configuration).length === 1) return;
    const ticksMax = 2 * this.#electionTicksMax;
    if (ticks === ticksMax) this.hangingLeaders++;
    assert(
      ticks <= ticksMax + this.#electionTicksMin + slackTicks,
      `a node leads for ${ticks} ticks while its store hangs and committed entries wait for it`,
    );
  }

  /** After a call into the core. */
  stepped(raft: Raft): void {
    const { role } = raft.getState();
    const before = this.#roles.get(raft);
    this.#roles.set(raft, role);
    if (role === before || !role.endsWith("candidate")) return;
    const ticks = this.#heldUp.get(raft) ?? 0;
    // Who asked for pre-votes before may get them late.
    const lateTicks = role === "candidate" ? this.#electionTicksMax : 0;
    assert(
      ticks <= this.#electionTicksMin + lateTicks + slackTicks,
      `a node campaigns whose store has hung for ${ticks} ticks while committed entries wait for it`,
    );
  }
}
