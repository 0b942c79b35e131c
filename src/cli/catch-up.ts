import { KVError } from "../client/kv-error.ts";
import { isToldByLeader, type MemberList, type MemberStatus } from "../client/member-list.ts";
import type { Client } from "./client.ts";
import type { Context } from "./context.ts";
import { type DoneChange, doneChange } from "./member-change.ts";
import { type FoundNode, findNode, type MemberName, neverMember, noMember } from "./member-name.ts";
import { ProgressLine } from "./progress-line.ts";

/** A voter that a server which has joined takes the place of. */
export interface NamedReplacement {
  readonly old: MemberName;
  readonly new: MemberName;
}

/** What a command line wants of servers that have joined. */
export interface WantedChange {
  readonly promote: readonly MemberName[];
  readonly replace: readonly NamedReplacement[];
}

const pollMs = 100;
/** A node that was started just now may take so long to become a learner, in ms. */
const appearMsMax = 10_000;
/** A learner that the leader has not heard of for so long is given up, in ms; so is a leader of which nobody has. */
const silentMsMax = 30_000;

/**
 * Makes the change as soon as the servers that come have caught up, and waits for that as long as they are there. The leader
 * decides what can be done, and is asked at once: what it refuses for any other reason is refused without a wait.
 */
export async function changeWhenCaughtUp(
  context: Context,
  client: Client,
  wanted: WantedChange,
): Promise<DoneChange> {
  const progress = new ProgressLine(context.stderr);
  const patience = new Patience(wanted);
  let isFirst = true;
  try {
    for (;;) {
      const list = await client.members();
      const found = isToldByLeader(list) ? find(wanted, list) : undefined;
      const missing = patience.check(list, found);
      if (found !== undefined && missing === undefined && (isFirst || !found.coming.some(isBehind))) {
        isFirst = false;
        if (await isMade(client, found)) return doneChange(found.coming, found.going);
      }
      progress.show(() => progressText(missing, found));
      await new Promise((resume) => setTimeout(resume, pollMs));
    }
  } finally {
    progress.clear();
  }
}

/** The nodes that are named, as far as the cluster knows them. */
interface Found {
  readonly promote: readonly FoundNode[];
  readonly replace: readonly { readonly old: FoundNode; readonly new: FoundNode }[];
  readonly coming: readonly FoundNode[];
  readonly going: readonly FoundNode[];
  /** A server that is to come and has not joined yet. */
  readonly missing: MemberName | undefined;
}

/** Throws when one that is to go was never a member, or when it is not clear which one is meant. */
function find({ promote, replace }: WantedChange, list: MemberList): Found {
  const gone = replace.find(({ old }) => findNode(list, old) === undefined);
  if (gone !== undefined) throw neverMember("replace", gone.old, list);
  const missing = [...promote, ...replace.map((pair) => pair.new)].find(
    (name) => findNode(list, name) === undefined,
  );
  const promoted = promote.flatMap((name) => findNode(list, name) ?? []);
  const replaced = replace.flatMap((pair) => {
    const next = findNode(list, pair.new);
    return next === undefined ? [] : { old: findNode(list, pair.old)!, new: next };
  });
  const coming = [...promoted, ...replaced.map((pair) => pair.new)];
  return { promote: promoted, replace: replaced, coming, going: replaced.map(({ old }) => old), missing };
}

function isBehind({ member }: FoundNode): boolean {
  return member?.behind !== undefined;
}

/** False when the leader says that one of them has not caught up. */
async function isMade(client: Client, { promote, replace }: Found): Promise<boolean> {
  try {
    await client.changeMembers({
      promote: promote.map(({ reference }) => reference),
      replace: replace.map((pair) => ({ old: pair.old.reference, new: pair.new.reference })),
    });
    return true;
  } catch (error) {
    if (error instanceof KVError && error.code === "ErrBehind" && error.outcome === "refused") return false;
    throw error;
  }
}

/** How long what does not happen is waited for. */
class Patience {
  readonly #action: string;
  readonly #startMs = performance.now();
  readonly #heardMs = new Map<string, number>();
  #leaderMs = this.#startMs;

  constructor({ replace }: WantedChange) {
    this.#action = replace.length > 0 ? "replace a member by" : "add";
  }

  /** Yields the name of a server that has not joined yet. Throws when there is no use in waiting on. */
  check(list: MemberList, found: Found | undefined): MemberName | undefined {
    const nowMs = performance.now();
    if (found !== undefined) this.#leaderMs = nowMs;
    else if (nowMs - this.#leaderMs > silentMsMax)
      throw new KVError("not-done", "Unreachable", "Cannot change the members: no leader was found");
    const missing = found?.missing;
    if (missing !== undefined && nowMs - this.#startMs > appearMsMax)
      throw noMember(this.#action, missing, list);
    for (const { member } of found?.coming ?? []) {
      if (member === undefined || member.role !== "learner") continue;
      if (member.isActive !== false) this.#heardMs.set(member.nodeId, nowMs);
      const heardMs = this.#heardMs.get(member.nodeId) ?? this.#startMs;
      if (nowMs - heardMs > silentMsMax) throw silent(member);
    }
    return missing;
  }
}

function progressText(missing: MemberName | undefined, found: Found | undefined): string {
  if (found === undefined) return "waiting for a leader";
  if (missing !== undefined) return `waiting for ${missing} to join`;
  const texts = found.coming.flatMap(({ member }) =>
    member?.behind === undefined ? [] : `${member.address}: ${member.behind}`,
  );
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
