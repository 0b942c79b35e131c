import { assert } from "../lib/assert.ts";
import type { Progress } from "./progress.ts";
import type { RaftState } from "./raft-options.ts";
import type { NodeId } from "./types.ts";

/**
 * What must be true of one node at any moment, and between any two moments of one life of it (paper figures 2 and 3).
 * A simulator calls both after every step; what must be true between nodes is the simulator's own to check, as only
 * it sees them all.
 */
export function checkState(state: RaftState): void {
  const { id, role, term, vote, leader, commit, applied, durable, firstIndex, last } = state;
  assert(term >= 0, "terms count up from 0");
  assert(last.term <= term, "the log holds no entry of a later term");
  assert(applied <= commit, "nothing is applied before it is committed");
  assert(applied <= durable, "nothing is applied before it is durable here");
  assert(commit <= last.index, "what is committed is in the log");
  assert(durable <= last.index, "what is durable is in the log");
  assert(firstIndex >= 1, "the first entry has index 1");
  assert(firstIndex <= applied + 1, "the log keeps what is not yet applied");
  if (role === "leader") {
    assert(vote === id, "a leader voted for itself");
    assert(leader === id, "a leader knows that it leads");
    assert(last.term === term, "a leader has appended in its term");
  } else {
    assert(leader !== id, "only a leader believes to lead");
  }
  if (role === "candidate") assert(vote === id, "a candidate votes for itself");
  if (role === "candidate" || role === "pre-candidate")
    assert(leader === undefined, "who campaigns knows no leader");
}

/** From one moment to a later one of the same life (no crash between); each call into the core counts as one step. */
export function checkStep(before: RaftState, after: RaftState): void {
  assert(before.id === after.id, "a step belongs to one node");
  assert(before.term <= after.term, "terms never fall");
  assert(before.commit <= after.commit, "commits are never taken back");
  assert(before.applied <= after.applied, "what is applied is never taken back");
  assert(before.firstIndex <= after.firstIndex, "the start of the log never goes back");
  if (before.term !== after.term) {
    assert(after.role !== "leader", "nobody leads a term without a campaign in it");
    return;
  }
  if (before.vote !== undefined) assert(after.vote === before.vote, "one vote per term");
  if (before.leader !== undefined && after.leader !== undefined)
    assert(after.leader === before.leader, "a term has one leader");
  if (after.role === "candidate") assert(before.role === "candidate", "a campaign begins with a new term");
  if (after.role === "leader" && before.role !== "leader")
    assert(before.role === "candidate", "only a candidate becomes leader");
  if (before.role === "leader" && after.role === "leader") {
    assert(after.last.index >= before.last.index, "a leader never removes entries of its own log");
    assert(after.durable >= before.durable, "what is durable at a leader stays durable");
  }
}

/** What a leader believes of its followers. */
export function checkProgress(state: RaftState, progress: ReadonlyMap<NodeId, Readonly<Progress>>): void {
  for (const { match, next, inFlightBytes, inFlightCount } of progress.values()) {
    assert(match < next, "what is known to agree is not sent again");
    assert(match <= state.last.index, "a follower has no more of a leader's log than there is");
    assert(next <= state.last.index + 1, "a leader sends only what it has");
    assert(inFlightCount > 0 || inFlightBytes === 0, "nothing in flight takes no room in the window");
  }
}
