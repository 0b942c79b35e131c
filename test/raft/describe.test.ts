import { expect, test } from "bun:test";
import { describeEntry, describeMessage, describeState, describeWrite } from "../../src/raft/describe.ts";
import { Cluster } from "./cluster.ts";
import {
  accepted,
  appendEntries,
  entry,
  heartbeat,
  heartbeatReply,
  n1,
  refused,
  requestVote,
  voteReply,
} from "./messages.ts";

test("each kind of message has its line", () => {
  const lines = [
    appendEntries(2, [4, 1], [2, 2, 2], 3),
    appendEntries(2, [4, 1], [2], 3),
    appendEntries(2, [4, 1], [], 3),
    accepted(2, 7),
    refused(2, 4, [3, 1]),
    heartbeat(2, 3, 9),
    heartbeatReply(2, 9),
    requestVote({ term: 3, last: { index: 7, term: 2 } }),
    requestVote({ term: 3, preVote: true }),
    voteReply({ term: 3 }),
    voteReply({ term: 3, preVote: true, granted: false }),
  ].map(describeMessage);
  expect(lines).toEqual([
    "n2→n1 append-entries term 2 prev 4/1 entries 5..7 commit 3",
    "n2→n1 append-entries term 2 prev 4/1 entries 5 commit 3",
    "n2→n1 append-entries term 2 prev 4/1 commit 3",
    "n2→n1 append-entries-reply term 2 accepted 7",
    "n2→n1 append-entries-reply term 2 refused 4 hint 3/1",
    "n2→n1 heartbeat term 2 commit 3 context 9",
    "n2→n1 heartbeat-reply term 2 context 9",
    "n2→n1 request-vote term 3 last 7/2",
    "n2→n1 request-vote term 3 pre-vote last 0/0",
    "n2→n1 request-vote-reply term 3 granted",
    "n2→n1 request-vote-reply term 3 pre-vote refused",
  ]);
});

test("data is shown when it is short and plain, else measured", () => {
  const show = (data: Uint8Array) => describeEntry({ ...entry(5, 2), data });
  expect(show(new TextEncoder().encode('a "b"'))).toBe('5/2 command "a \\"b\\""');
  expect(show(new Uint8Array(0))).toBe("5/2 command");
  expect(show(new Uint8Array([1, 2, 3]))).toBe("5/2 command 3 bytes");
  expect(show(new Uint8Array(33).fill(0x41))).toBe("5/2 command 33 bytes");
  expect(describeEntry({ ...entry(1, 1), kind: "noop", data: new Uint8Array(0) })).toBe("1/1 noop");
});

test("writes and states are one line each", () => {
  const hardState = { term: 2, vote: n1, commit: 4 };
  expect(describeWrite({ id: 3, hardState, start: undefined, entries: [entry(5, 2), entry(6, 2)] })).toBe(
    "write 3 term 2 vote n1 commit 4 entries 5/2 6/2",
  );
  expect(
    describeWrite({
      id: 4,
      hardState: { ...hardState, vote: undefined },
      start: { index: 4, term: 2 },
      entries: [],
    }),
  ).toBe("write 4 term 2 vote - commit 4 start 4/2");
  expect(describeWrite({ id: 5, hardState: undefined, start: undefined, entries: [entry(7, 2)] })).toBe(
    "write 5 entries 7/2",
  );
  expect(describeState(new Cluster(1).raft(n1).getState())).toBe(
    "n1 follower term 0 vote - leader - commit 0 applied 0 durable 0 last 0/0",
  );
});
