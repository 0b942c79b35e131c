import { decodeCommand } from "../../src/kv/command.ts";
import { assert } from "../../src/lib/assert.ts";
import type { Bytes } from "../../src/lib/bytes.ts";
import type { Plan } from "./plan.ts";
import { epochMs } from "./sim-process.ts";

/** A machine whose clocks are watched. */
interface Clocks {
  /** How far its wall clock has ever been off: at the least, and at the most. */
  readonly skewMsMin: number;
  readonly skewMsMax: number;
  readonly plan: { readonly clockRate: number };
}

/** Whether other machines become voters in this world. */
export function changesMembers({ incidents }: Pick<Plan, "incidents">): boolean {
  const kinds: readonly string[] = ["join", "remove", "replace", "replace-all", "wipe"];
  return incidents.some(({ kind }) => kinds.includes(kind));
}

/** What delays, pauses, and clocks that run at different rates add to a reading, in a run of a minute. Jumps are larger. */
const readingMsMax = 60_000;

/**
 * Watches the times that stand in the log. Lease time never goes back and never runs faster than the fastest monotonic
 * clock. Wall time moves only to where half of the voters' clocks are, or beyond: so one wrong clock of three moves nothing.
 */
export class TimeChecker {
  readonly #machines: readonly Clocks[];
  /** Whether all machines are voters from the beginning to the end. */
  readonly #haveVotes: boolean;
  readonly #rateMax: number;
  readonly #firstMs: number;
  #lastIndex = 0;
  #leaseMs = 0;
  /** As of the last clock command; undefined before the first one. */
  #offsetMs: number | undefined;
  /** Clock commands that moved wall time by more than the readings explain. */
  moves = 0;

  /** `leaseMs` is what the cluster begins with. */
  constructor(machines: readonly Clocks[], haveVotes: boolean, leaseMs: number) {
    this.#firstMs = 1 + leaseMs;
    this.#leaseMs = leaseMs;
    this.#machines = machines;
    this.#haveVotes = haveVotes;
    this.#rateMax = Math.max(1, ...machines.map(({ plan }) => plan.clockRate));
  }

  /** A state machine has applied this command. Only the first one to apply it says something new. */
  applied(index: number, data: Bytes, nowMs: number): void {
    if (index <= this.#lastIndex) return;
    this.#lastIndex = index;
    const command = decodeCommand(data);
    // A leader notes starts before it has a time of its own: they move none.
    if (command.type === "boots") return;
    const { timeMs } = command;
    assert(
      timeMs >= this.#leaseMs,
      `lease time goes back in entry ${index}: ${timeMs} after ${this.#leaseMs}`,
    );
    const mostMs = this.#firstMs + nowMs * this.#rateMax;
    assert(timeMs <= mostMs, `lease time is ${timeMs} in entry ${index}, and no clock has counted so far`);
    this.#leaseMs = timeMs;
    if (command.type !== "clock") return;
    if (this.#haveVotes) this.#checkWall(index, command.wallMs, nowMs);
    const offsetMs = command.wallMs - timeMs;
    if (Math.abs(offsetMs - (this.#offsetMs ?? offsetMs)) > readingMsMax) this.moves++;
    this.#offsetMs = offsetMs;
  }

  #checkWall(index: number, wallMs: number, nowMs: number): void {
    const presentMs = this.#offsetMs === undefined ? undefined : this.#leaseMs + this.#offsetMs;
    // Before there is a wall time nothing stands for a voter that was not heard: of two clocks any may be the wrong one.
    const wanted = presentMs === undefined ? 1 : Math.ceil(this.#machines.length / 2);
    const rightMs = epochMs + nowMs;
    const later = this.#machines.filter(
      ({ skewMsMax }) => rightMs + skewMsMax >= wallMs - readingMsMax,
    ).length;
    const earlier = this.#machines.filter(
      ({ skewMsMin }) => rightMs + skewMsMin <= wallMs + readingMsMax,
    ).length;
    const isUp = presentMs === undefined || wallMs > presentMs + readingMsMax;
    const isDown = presentMs === undefined || wallMs < presentMs - readingMsMax;
    assert(
      !isUp || later >= wanted,
      `entry ${index} moves wall time up to ${wallMs}, where ${later} clocks are`,
    );
    assert(
      !isDown || earlier >= wanted,
      `entry ${index} moves wall time down to ${wallMs}, where ${earlier} clocks are`,
    );
  }
}
