import { KVError } from "../client/kv-error.ts";
import type { MemberList, MemberStatus } from "../client/member-list.ts";
import type { Client } from "./client.ts";
import type { Context } from "./context.ts";
import { findMember, type MemberName, noMember } from "./member-name.ts";
import { ProgressLine } from "./progress-line.ts";

/** A learner that lacks so few entries counts as caught up: under load some are always on their way. */
const lagMax = 1000;
const pollMs = 100;
/** A node that was started just now may take so long to become a learner, in ms. */
const appearMsMax = 10_000;
/** A learner that the leader has not heard of for so long is given up, in ms. */
const silentMsMax = 30_000;
/** So often in a row the leader may refuse what has caught up as far as it tells itself: then that is not the reason. */
const refusalsMax = 5;

/**
 * Waits until these nodes are members and none of them is far behind, for as long as they are there, and then calls
 * `change` with them as they are. When the leader finds one too far behind all the same it waits on; what the leader refuses
 * for another reason is refused.
 */
export async function whenCaughtUp(
  context: Context,
  client: Client,
  names: readonly MemberName[],
  change: (members: readonly MemberStatus[], list: MemberList) => Promise<void>,
): Promise<void> {
  const progress = new ProgressLine(context.stderr);
  const startMs = performance.now();
  const heardMs = new Map<MemberName, number>();
  let refusals = 0;
  try {
    for (;;) {
      const list = await client.members();
      const nowMs = performance.now();
      const missing = names.find((name) => findMember(list, name) === undefined);
      if (missing !== undefined && nowMs - startMs > appearMsMax) throw noMember("add", missing, list);
      const members = names.flatMap((name) => findMember(list, name) ?? []);
      if (missing === undefined && members.every(isCaughtUp)) {
        if (await isDone(() => change(members, list), members, ++refusals < refusalsMax)) return;
      } else refusals = 0;
      for (const [at, member] of members.entries()) {
        const name = names[at]!;
        if (isCaughtUp(member) || member.isActive !== false) heardMs.set(name, nowMs);
        if (nowMs - (heardMs.get(name) ?? startMs) > silentMsMax) throw silent(member);
      }
      progress.show(() => progressText(missing, members));
      await new Promise((resume) => setTimeout(resume, pollMs));
    }
  } finally {
    progress.clear();
  }
}

function isCaughtUp({ role, lag }: MemberStatus): boolean {
  return role !== "learner" || (lag !== undefined && lag <= lagMax);
}

/** False when the leader refuses while entries are still on their way: it counts more strictly, or they have grown. */
async function isDone(
  change: () => Promise<void>,
  members: readonly MemberStatus[],
  mayBeBehind: boolean,
): Promise<boolean> {
  try {
    await change();
    return true;
  } catch (error) {
    const isBehind = mayBeBehind && members.some(({ role, lag }) => role === "learner" && lag !== 0);
    if (error instanceof KVError && error.code === "ErrMembers" && error.outcome === "refused" && isBehind)
      return false;
    throw error;
  }
}

function progressText(missing: MemberName | undefined, members: readonly MemberStatus[]): string {
  if (missing !== undefined) return `waiting for ${missing} to join`;
  const texts = members
    .filter((member) => !isCaughtUp(member))
    .map(({ address, match = 0, lag }) => {
      if (lag === undefined) return `${address}: no leader says how far it is`;
      return `${address} has ${match} of ${match + lag} entries: ${Math.floor((100 * match) / (match + lag))}%`;
    });
  return texts.length === 0 ? "changing the members" : texts.join(", ");
}

function silent({ address }: MemberStatus): KVError {
  return new KVError(
    "not-done",
    "Unreachable",
    `Cannot make a voter of ${address}: the leader has not heard of it for ${silentMsMax / 1000} s; the members are ` +
      "as they were, and it is still a learner: start it, and try again",
  );
}
