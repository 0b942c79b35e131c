import { describe, expect, test } from "bun:test";
import { indexMax, type Message, type NodeId, termMax } from "../../src/raft/types.ts";
import { accepted, appendEntries, heartbeat, heartbeatReply, n1, n2, requestVote } from "./messages.ts";
import { Played } from "./played.ts";

// Whoever says hello as a member may send anything. What no honest member sends is refused with a reason and changes
// nothing; nothing at all reaches an assertion.

const stranger = "strange" as NodeId;
const timeoutNow = (term: number): Message => ({ kind: "timeout-now", from: n2, to: n1, term });
const installSnapshot = (term: number, index: number): Message => ({
  kind: "install-snapshot",
  from: n2,
  to: n1,
  term,
  start: { index, term },
});

function refusalOf(played: Played, message: Message): string | undefined {
  const before = JSON.stringify(played.state);
  const refusal = played.cluster.run(n1, (raft) => raft.step(message));
  if (refusal !== undefined) expect(JSON.stringify(played.state)).toBe(before);
  return refusal;
}

describe("a leader", () => {
  test("refuses whatever only the leader of its own term says", () => {
    const played = new Played([1, 1]).lead();
    const { term } = played.state;
    const messages = [
      heartbeat(term),
      appendEntries(term, [2, 1], []),
      timeoutNow(term),
      installSnapshot(term, 9),
    ];
    for (const message of messages) expect(refusalOf(played, message)).toBe(`this node leads term ${term}`);
    expect(played.state.role).toBe("leader");
  });

  test("refuses the answer to a question that was not asked: it would confirm reads to come", () => {
    const played = new Played().lead();
    expect(refusalOf(played, heartbeatReply(1, 0))).toBeUndefined();
    expect(refusalOf(played, heartbeatReply(1, 1))).toBe("read round 1 has not begun");
  });
});

describe("a follower", () => {
  test("refuses a second leader of its term", () => {
    const played = new Played([1]);
    expect(refusalOf(played, heartbeat(2))).toBeUndefined();
    for (const message of [heartbeat(2), appendEntries(2, [1, 1], [2]), timeoutNow(2)])
      expect(refusalOf(played, { ...message, from: stranger })).toBe("n2 leads term 2");
  });

  test("refuses entries in the place of committed ones, also in a later term", () => {
    const played = new Played([1, 1, 1], { commit: 2 });
    for (const term of [2, 9])
      expect(refusalOf(played, appendEntries(term, [1, 1], [2]))).toBe(
        "entry 2 of term 2 differs from the one that is committed here",
      );
    expect(refusalOf(played, appendEntries(2, [2, 1], [2]))).toBeUndefined();
  });

  test("refuses that a leader takes back what was acknowledged to it, and not what another leader does", () => {
    const played = new Played([1]);
    expect(refusalOf(played, appendEntries(3, [1, 1], [2, 2]))).toBeUndefined();
    expect(refusalOf(played, appendEntries(3, [1, 1], [3]))).toBe(
      "entry 2 of term 3 differs from the one that is acknowledged here",
    );
    played.write();
    expect(refusalOf(played, appendEntries(4, [1, 1], [4]))).toBeUndefined();
    played.write();
    expect(played.state.last).toEqual({ index: 2, term: 4 });
  });

  test("refuses a commit beyond its log, and says what that means if the leader is one", () => {
    const played = new Played([1]);
    expect(refusalOf(played, heartbeat(1, 2))).toContain("the log here ends at 1");
    expect(refusalOf(played, heartbeat(1, indexMax))).toContain("replace this node");
    expect(refusalOf(played, heartbeat(1, 1))).toBeUndefined();
  });
});

test("what comes back to its sender is ignored: a node's own heartbeat is no leader's", () => {
  const played = new Played([1]);
  const { term, role } = played.state;
  for (const message of [heartbeat(term), heartbeat(term + 1), requestVote({ term: term + 1 })])
    expect(refusalOf(played, { ...message, from: n1 })).toBeUndefined();
  expect(played.state).toMatchObject({ term, role });
});

describe("terms", () => {
  test("one message cannot use them up", () => {
    const played = new Played([1]);
    for (const message of [heartbeat(1 + 2 ** 24 + 1), requestVote({ term: termMax }), accepted(2 ** 51, 1)])
      expect(refusalOf(played, message)).toContain("is too far from this node's, 1");
    expect(refusalOf(played, heartbeat(termMax + 1))).toContain("is beyond the last one");
    expect(refusalOf(played, heartbeat(1 + 2 ** 24))).toBeUndefined();
  });

  test("nobody campaigns beyond the last one", () => {
    const played = new Played([1], { term: termMax });
    expect(played.tick(50)).toEqual([]);
    expect(refusalOf(played, timeoutNow(termMax))).toBeUndefined();
    expect(played.state.term).toBe(termMax);
  });
});
