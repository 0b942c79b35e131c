import { type KVClient, KVError, type MemberChange, type MemberStatus } from "../../src/client/kv-client.ts";
import type { Prng } from "../../src/env/prng.ts";
import { messageOf } from "../../src/lib/error.ts";
import { namesOf } from "./fault.ts";
import type { Nodes } from "./nodes.ts";
import { sleep } from "./sleep.ts";

export interface ReplacementsOptions {
  readonly nodes: Nodes;
  readonly prng: Prng;
  /** Makes one more server that is not started, and yields its place. */
  readonly grow: () => number;
  readonly tell: (line: string) => void;
}

/** Between two replacements, in ms. */
const restMsMin = 500;
const restMsMax = 4_000;

/** Between two tries, in ms: most fail while a majority is missing. */
const retryMs = 100;
/** A new server becomes a voter when it lacks no more entries than this. */
const lagMax = 200;
/** Who was removed and is not held by a fault learns of it within this time, in ms, and ends. */
const endMsMax = 30_000;

/**
 * Replaces machine after machine while faults go on: a new server joins, catches up and becomes a voter, and an old one
 * is removed, in the same change or in one of its own. Whatever fails is tried again, as a person would.
 */
export class Replacements {
  readonly #options: ReplacementsOptions;
  readonly #client: KVClient;
  /** How many were begun, and how many are over. */
  begun = 0;
  done = 0;

  constructor(options: ReplacementsOptions) {
    this.#options = options;
    this.#client = options.nodes.cluster.client({ timeoutMs: 2_000 });
  }

  /** Resolves soon after the signal, whatever is under way. Throws when one that was removed does not end. */
  async run(signal: AbortSignal): Promise<void> {
    const { nodes, prng } = this.#options;
    for (;;) {
      await sleep(prng.int(restMsMin, restMsMax), signal);
      if (signal.aborted) return;
      const old = prng.pick(nodes.members);
      this.begun++;
      await this.#replace(old, signal);
      if (signal.aborted) return;
      this.done++;
    }
  }

  async #replace(old: number, signal: AbortSignal): Promise<void> {
    const { nodes, prng, grow, tell } = this.#options;
    const place = grow();
    const isAtOnce = prng.chance(1, 2);
    tell(`replace ${namesOf([old])} by ${namesOf([place])}${isAtOnce ? ", at once" : ""}`);
    nodes.join(place, old);
    if (!isAtOnce) await this.#until(signal, (members) => this.#promotion(members, place));
    if (signal.aborted) return;
    nodes.expectEnd(old);
    await this.#until(signal, (members) => this.#exchange(members, old, place));
    if (signal.aborted) return;
    const startMs = performance.now();
    while (!nodes.isGone(old) && !signal.aborted) {
      if (nodes.isHeld(old)) await nodes.released(old, signal);
      else if (performance.now() - startMs > endMsMax)
        throw new Error(`${namesOf([old])} was removed and does not end:\n${nodes.logOf(old).slice(-3000)}`);
      await sleep(retryMs, signal);
    }
    tell(`${namesOf([place])} has replaced ${namesOf([old])}`);
  }

  /** Undefined when it is done; nothing to change when it cannot be yet. */
  #promotion(members: readonly MemberStatus[], place: number): MemberChange | undefined {
    const member = this.#memberAt(members, place);
    if (member?.role === "voter") return undefined;
    return isReady(member) ? { promote: [member.nodeId] } : {};
  }

  #exchange(members: readonly MemberStatus[], old: number, place: number): MemberChange | undefined {
    const [leaving, coming] = [this.#memberAt(members, old), this.#memberAt(members, place)];
    if (leaving === undefined && coming?.role === "voter") return undefined;
    if (coming?.role !== "voter" && !isReady(coming)) return {};
    return {
      promote: coming?.role === "learner" ? [coming.nodeId] : [],
      remove: leaving === undefined ? [] : [leaving.nodeId],
    };
  }

  #memberAt(members: readonly MemberStatus[], place: number): MemberStatus | undefined {
    return members.find(({ address }) => address === this.#options.nodes.cluster.address(place));
  }

  /** Asks the leader for change after change until there is nothing left to change, or the signal comes. */
  async #until(
    signal: AbortSignal,
    next: (members: readonly MemberStatus[]) => MemberChange | undefined,
  ): Promise<void> {
    while (!signal.aborted) {
      try {
        const change = next((await this.#client.members()).members);
        if (change === undefined) return;
        if ((change.promote?.length ?? 0) + (change.remove?.length ?? 0) > 0)
          await this.#client.changeMembers(change);
      } catch (error) {
        if (!(error instanceof KVError))
          throw new Error(`Cannot change the members: ${messageOf(error)}`, { cause: error });
      }
      await sleep(retryMs, signal);
    }
  }
}

function isReady(member: MemberStatus | undefined): member is MemberStatus {
  return member?.role === "learner" && member.lag !== undefined && member.lag <= lagMax;
}
