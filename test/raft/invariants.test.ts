import { expect, test } from "bun:test";
import { checkProgress, checkState, checkStep } from "../../src/raft/invariants.ts";
import { Progress } from "../../src/raft/progress.ts";
import type { RaftState } from "../../src/raft/raft-options.ts";
import { n1, n2, n3 } from "./messages.ts";

const follower: RaftState = {
  id: n1,
  role: "follower",
  term: 3,
  vote: n2,
  leader: n2,
  commit: 5,
  applied: 4,
  durable: 6,
  firstIndex: 2,
  last: { index: 7, term: 3 },
};
const leader: RaftState = { ...follower, role: "leader", vote: n1, leader: n1 };
const candidate: RaftState = { ...follower, role: "candidate", vote: n1, leader: undefined };

test("states that may be are accepted", () => {
  for (const state of [follower, leader, candidate]) checkState(state);
  checkStep(follower, follower);
  checkStep(candidate, leader);
  checkStep(leader, { ...leader, commit: 7, last: { index: 9, term: 3 } });
  checkStep(leader, { ...follower, term: 4, vote: undefined, leader: n2 });
});

test("states that may not be are refused, each by its rule", () => {
  const cases: readonly (readonly [RaftState, string])[] = [
    [{ ...follower, last: { index: 7, term: 4 } }, "the log holds no entry of a later term"],
    [{ ...follower, applied: 6 }, "nothing is applied before it is committed"],
    [{ ...follower, durable: 3 }, "nothing is applied before it is durable here"],
    [{ ...follower, commit: 8 }, "what is committed is in the log"],
    [{ ...follower, durable: 8 }, "what is durable is in the log"],
    [{ ...follower, firstIndex: 6 }, "the log keeps what is not yet applied"],
    [{ ...follower, firstIndex: 0 }, "the first entry has index 1"],
    [{ ...follower, leader: n1 }, "only a leader believes to lead"],
    [{ ...leader, vote: n2 }, "a leader voted for itself"],
    [{ ...leader, leader: n2 }, "a leader knows that it leads"],
    [{ ...leader, last: { index: 7, term: 2 } }, "a leader has appended in its term"],
    [{ ...candidate, vote: n2 }, "a candidate votes for itself"],
    [{ ...candidate, leader: n2 }, "who campaigns knows no leader"],
    [{ ...candidate, role: "pre-candidate", leader: n2 }, "who campaigns knows no leader"],
  ];
  for (const [state, why] of cases) expect(() => checkState(state)).toThrow(why);
});

test("steps that may not be are refused, each by its rule", () => {
  const cases: readonly (readonly [RaftState, RaftState, string])[] = [
    [follower, { ...follower, id: n2 }, "a step belongs to one node"],
    [follower, { ...follower, term: 2 }, "terms never fall"],
    [follower, { ...follower, commit: 4 }, "commits are never taken back"],
    [follower, { ...follower, applied: 3 }, "what is applied is never taken back"],
    [follower, { ...follower, firstIndex: 1 }, "the start of the log never goes back"],
    [follower, { ...leader, term: 4 }, "nobody leads a term without a campaign in it"],
    [follower, { ...follower, vote: n3 }, "one vote per term"],
    [follower, { ...follower, vote: undefined }, "one vote per term"],
    [follower, { ...follower, leader: n3 }, "a term has one leader"],
    [{ ...follower, vote: n1 }, { ...candidate }, "a campaign begins with a new term"],
    [{ ...follower, vote: n1, leader: undefined }, leader, "only a candidate becomes leader"],
    [leader, { ...leader, last: { index: 6, term: 3 } }, "a leader never removes entries of its own log"],
    [leader, { ...leader, durable: 5 }, "what is durable at a leader stays durable"],
  ];
  for (const [before, after, why] of cases) expect(() => checkStep(before, after)).toThrow(why);
});

test("what a leader believes of a follower fits its own log", () => {
  const check = (change: (progress: Progress) => void) => {
    const progress = new Progress(8);
    change(progress);
    checkProgress(leader, new Map([[n2, progress]]));
  };
  check(() => {});
  check((progress) => progress.accepted(7));
  expect(() => check((progress) => (progress.match = 8))).toThrow("what is known to agree is not sent again");
  expect(() => check((progress) => progress.accepted(8))).toThrow("a follower has no more of a leader's log");
  expect(() => check((progress) => (progress.next = 9))).toThrow("a leader sends only what it has");
});
