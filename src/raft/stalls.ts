import type { Leader } from "./leader.ts";
import type { RaftLog } from "./raft-log.ts";
import type { WriteSlot } from "./write-slot.ts";

export interface StallOptions {
  readonly electionTicksMin: number;
  readonly electionTicksMax: number;
  readonly diskStallTicks: number;
}

/** A leader whose store hangs for so many of the longest election timeouts hands over. One slow sync takes less. */
const storeStallElections = 2;

/**
 * Whether this node's disks keep it from leading: the log's write hangs, or the store takes none of the committed
 * entries. Such a leader holds up the whole cluster, which could go on under another one.
 */
export class Stalls {
  readonly #options: StallOptions;
  readonly #log: RaftLog;
  readonly #write: WriteSlot;
  #storeTicks = 0;

  constructor(options: StallOptions, log: RaftLog, write: WriteSlot) {
    this.#options = options;
    this.#log = log;
    this.#write = write;
  }

  /** Told before each tick: whether committed entries wait for a store that has done nothing since the tick before. */
  reportStore(isHeldUp: boolean): void {
    this.#storeTicks = isHeldUp ? this.#storeTicks + 1 : 0;
  }

  /** Whether this node could serve as a leader: store its vote, and apply what is committed. */
  get mayLead(): boolean {
    const { electionTicksMin } = this.#options;
    return !this.#write.hangsFor(electionTicksMin) && this.#storeTicks < electionTicksMin;
  }

  /**
   * Why this leader must step down, if it must. When the log hangs: the sooner when a quorum is ahead of it. When the
   * store hangs the log is whole, so it hands over first, and steps down when nobody takes the office in time. The only
   * voter of a cluster stays: nobody else could serve.
   */
  whyOver(office: Leader, voterCount: number): string | undefined {
    const { diskStallTicks, electionTicksMin, electionTicksMax } = this.#options;
    const isBehind = this.#log.commit > this.#log.durable;
    if (this.#write.hangsFor(isBehind ? Math.min(diskStallTicks, electionTicksMax) : diskStallTicks))
      return `its write takes more than ${this.#write.ticks} ticks`;
    const stallTicks = storeStallElections * electionTicksMax;
    if (this.#storeTicks < stallTicks || voterCount === 1) return undefined;
    if (this.#storeTicks < stallTicks + electionTicksMin && office.transferTo(undefined)) return undefined;
    return `its store has not got on for ${this.#storeTicks} ticks, and committed entries wait for it`;
  }
}
