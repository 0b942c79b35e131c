import { describe, expect, test } from "bun:test";
import { Cluster } from "./cluster.ts";
import {
  accepted,
  appendEntries,
  heartbeat,
  heartbeatReply,
  n1,
  n2,
  n3,
  refused,
  requestVote,
  voteReply,
} from "./messages.ts";
import { Played } from "./played.ts";

// One test for each rule of Ongaro's thesis (Consensus: Bridging Theory and Practice) that the core adds to the paper.

/** A leader of term 1 whose no-op is committed. */
function leader(tuning = {}): Played {
  const played = new Played([], {}, tuning).lead();
  played.write();
  played.step(accepted(1, 1));
  return played;
}

describe("6.2: check-quorum", () => {
  test("a leader that hears from no majority for an election timeout steps down, in its term", () => {
    const played = leader();
    played.tick(19);
    expect(played.state.role).toBe("leader");
    played.tick(1);
    expect(played.state).toMatchObject({ role: "follower", term: 1, vote: n1, leader: undefined });
  });

  test("any reply of one other node in three is enough, in each timeout anew", () => {
    for (const reply of [heartbeatReply(1), accepted(1, 1), refused(1, 9, [0, 0])]) {
      const played = leader();
      for (let round = 0; round < 3; round++) {
        played.tick(9);
        played.step(reply);
        played.tick(1);
      }
      expect(played.state.role).toBe("leader");
      played.tick(10);
      expect(played.state.role).toBe("follower");
    }
  });

  test("replies of a leader's earlier terms do not count", () => {
    const played = new Played([1], { term: 4 }).lead();
    played.write();
    played.tick(10);
    played.step(heartbeatReply(4));
    played.tick(10);
    expect(played.state.role).toBe("follower");
  });
});

describe("6.4: reads", () => {
  test("a read is refused by followers, and before an entry of the leader's own term is committed", () => {
    const played = new Played([1, 1], { commit: 1 }).lead();
    played.write();
    expect(played.cluster.readIndex(n1, 1)).toBe(false);
    played.step(accepted(2, 2));
    expect(played.cluster.readIndex(n1, 2)).toBe(false);
    played.step(accepted(2, 3));
    expect(played.cluster.readIndex(n1, 3)).toBe(true);
    played.step(heartbeat(3));
    expect(played.cluster.readIndex(n1, 4)).toBe(false);
  });

  test("a read is answered when a majority has confirmed its round, with the commit of when the round began", () => {
    const played = leader();
    played.cluster.propose(n1, "x");
    played.take();
    played.cluster.readIndex(n1, 7);
    expect(played.take()).toContain("n1→n2 heartbeat term 1 commit 1 context 1");
    expect(played.cluster.node(n1).reads).toEqual([]);
    played.step(accepted(1, 2));
    played.write();
    expect(played.state.commit).toBe(2);
    played.step(heartbeatReply(1, 1));
    expect(played.cluster.node(n1).reads).toEqual([{ context: 7, index: 1 }]);
  });

  test("five nodes need two answers, of two nodes", () => {
    const cluster = new Cluster(5);
    cluster.elect(n1);
    cluster.readIndex(n1, 1);
    for (let again = 0; again < 2; again++) cluster.run(n1, (raft) => raft.step(heartbeatReply(1, 1)));
    expect(cluster.node(n1).reads).toEqual([]);
    cluster.run(n1, (raft) => raft.step({ ...heartbeatReply(1, 1), from: n3 }));
    expect(cluster.node(n1).reads).toEqual([{ context: 1, index: 1 }]);
  });

  test("an answer to an earlier heartbeat, or of an earlier round, confirms no later read", () => {
    const played = leader();
    played.cluster.readIndex(n1, 1);
    played.step(heartbeatReply(1, 0));
    expect(played.cluster.node(n1).reads).toHaveLength(0);
    played.step(heartbeatReply(1, 1));
    played.cluster.readIndex(n1, 2);
    played.step(heartbeatReply(1, 1));
    expect(played.cluster.node(n1).reads).toHaveLength(1);
    played.step(heartbeatReply(1, 2));
    expect(played.cluster.node(n1).reads).toHaveLength(2);
  });

  test("reads that come while a round is under way share the next, and a lost round is asked again", () => {
    const played = leader();
    for (const context of [1, 2, 3, 4]) played.cluster.readIndex(n1, context);
    expect(played.take().filter((line) => line.includes("n2 heartbeat"))).toHaveLength(1);
    expect(played.tick(2)).toContain("n1→n2 heartbeat term 1 commit 1 context 1");
    expect(played.step(heartbeatReply(1, 1))).toContain("n1→n2 heartbeat term 1 commit 1 context 2");
    played.step(heartbeatReply(1, 2));
    expect(played.cluster.node(n1).reads.map(({ context }) => context)).toEqual([1, 2, 3, 4]);
  });

  test("reads that wait at a leader that steps down are never answered", () => {
    const played = leader();
    played.cluster.readIndex(n1, 1);
    played.cluster.run(n1, (raft) => raft.overslept(10));
    played.step(heartbeatReply(1, 1));
    expect(played.cluster.node(n1).reads).toEqual([]);
  });

  test("a follower confirms reads without waiting for its disk", () => {
    const played = new Played();
    played.step(appendEntries(1, [0, 0], [1]));
    expect(played.step(heartbeat(1, 0, 5))).toEqual(["n1→n2 heartbeat-reply term 1 context 5"]);
  });
});

describe("6.4, 4.2.3: a leader that is heard is not unseated", () => {
  const disruptive = requestVote({ term: 9, from: n3, last: { index: 99, term: 8 } });

  test("a follower ignores campaigns of any term until it has heard nobody for the shortest election timeout", () => {
    const played = new Played();
    played.step(heartbeat(1));
    played.write();
    played.tick(9);
    expect(played.step(disruptive)).toEqual([]);
    expect(played.step({ ...disruptive, preVote: true })).toEqual([]);
    expect(played.state).toMatchObject({ term: 1, leader: n2 });
    const later = new Played([], {}, { electionTicksMin: 10, electionTicksMax: 10 });
    later.step(heartbeat(1));
    later.write();
    later.tick(10);
    later.step(disruptive);
    expect(later.write()).toEqual(["n1→n3 request-vote-reply term 9 granted"]);
  });

  test("a leader ignores campaigns, and gives way to the term of an answer", () => {
    const played = leader();
    expect(played.step(disruptive)).toEqual([]);
    expect(played.state).toMatchObject({ role: "leader", term: 1 });
    played.step(heartbeatReply(9));
    expect(played.state).toMatchObject({ role: "follower", term: 9 });
  });
});

describe("9.6: pre-vote", () => {
  test("asks in the next term, and changes no term and no vote, here or there", () => {
    const played = new Played([1], { term: 3 });
    expect(played.tick(10)).toEqual([
      "n1→n2 request-vote term 4 pre-vote last 1/1",
      "n1→n3 request-vote term 4 pre-vote last 1/1",
    ]);
    expect(played.state).toMatchObject({ role: "pre-candidate", term: 3, vote: undefined });
    expect(played.step(requestVote({ term: 4, preVote: true, last: { index: 1, term: 1 } }))).toEqual([
      "n1→n2 request-vote-reply term 4 pre-vote granted",
    ]);
    expect(played.state).toMatchObject({ role: "pre-candidate", term: 3, vote: undefined });
    expect(played.cluster.node(n1).write).toBeUndefined();
  });

  test("is granted for a later term only", () => {
    const played = new Played([1], { term: 3 });
    const last = { index: 5, term: 3 };
    for (const term of [2, 3])
      expect(played.step(requestVote({ term, preVote: true, last }))).toEqual([
        "n1→n2 request-vote-reply term 3 pre-vote refused",
      ]);
  });

  test("without a majority there is no campaign, however often it is asked", () => {
    const played = new Played();
    played.tick(500);
    expect(played.state).toMatchObject({ role: "pre-candidate", term: 0 });
    played.step(voteReply({ term: 1, preVote: true, granted: false, from: n3 }));
    played.step({ ...voteReply({ term: 0, preVote: true, granted: false }) });
    played.step({ ...voteReply({ term: 1 }) });
    expect(played.state.role).not.toBe("candidate");
  });

  test("a grant for an earlier campaign counts for no later one", () => {
    const played = new Played();
    played.tick(10);
    played.step(heartbeat(1));
    played.write();
    played.tick(10);
    expect(played.state).toMatchObject({ role: "pre-candidate", term: 1 });
    played.step(voteReply({ term: 1, preVote: true }));
    expect(played.state.role).toBe("pre-candidate");
    played.step(voteReply({ term: 2, preVote: true }));
    expect(played.state.role).toBe("candidate");
  });

  test("a real vote is no pre-vote, and a pre-vote is no vote", () => {
    const played = new Played();
    played.tick(10);
    played.step(voteReply({ term: 0 }));
    expect(played.state.role).toBe("pre-candidate");
    played.step(voteReply({ term: 1, preVote: true }));
    played.write();
    played.step(voteReply({ term: 1, preVote: true, from: n3 }));
    expect(played.state.role).toBe("candidate");
  });
});

describe("10.2.1: the leader writes while it replicates", () => {
  test("entries leave before they are on the leader's disk, and commit without it", () => {
    const played = leader();
    played.cluster.propose(n1, "x");
    expect(played.take()).toContain("n1→n2 append-entries term 1 prev 1/1 entries 2 commit 1");
    played.step(accepted(1, 2));
    expect(played.state.commit).toBe(1);
    played.step({ ...accepted(1, 2), from: n3 });
    expect(played.state).toMatchObject({ commit: 2, durable: 1, applied: 1 });
    played.write();
    expect(played.state).toMatchObject({ durable: 2, applied: 2 });
  });

  test("one write is in flight; what comes meanwhile is the next, as one", () => {
    const played = leader();
    for (const text of ["a", "b", "c"]) played.cluster.propose(n1, text);
    expect(played.cluster.node(n1).write!.entries).toHaveLength(1);
    played.write();
    expect(played.cluster.node(n1).write!.entries).toHaveLength(2);
  });

  test("a follower's acceptance waits for the write that holds its entries, not for an earlier one", () => {
    const played = new Played();
    played.step(appendEntries(1, [0, 0], [1]));
    expect(played.step(appendEntries(1, [1, 1], [1]))).toEqual([]);
    expect(played.write()).toEqual(["n1→n2 append-entries-reply term 1 accepted 1"]);
    expect(played.write()).toEqual(["n1→n2 append-entries-reply term 1 accepted 2"]);
  });

  test("an acceptance of an earlier term does not leave once the term has changed", () => {
    const played = new Played();
    played.step(appendEntries(1, [0, 0], [1]));
    played.step({ ...heartbeat(2), from: n3 });
    expect(played.write()).toEqual([]);
  });

  test("a leader whose disk hangs steps down: early when others are ahead of it, else after diskStallTicks", () => {
    const answered = (others: readonly (typeof n2)[], ticks: number) => {
      const played = leader({ diskStallTicks: 50 });
      played.cluster.propose(n1, "x");
      for (const from of others) played.step({ ...accepted(1, 2), from });
      for (let tick = 0; tick < ticks; tick++) {
        played.tick(1);
        played.step(heartbeatReply(1));
      }
      return played.state.role;
    };
    expect(answered([n2, n3], 19)).toBe("leader");
    expect(answered([n2, n3], 20)).toBe("follower");
    expect(answered([n2], 49)).toBe("leader");
    expect(answered([n2], 50)).toBe("follower");
  });

  test("a node whose disk hangs does not campaign", () => {
    const played = new Played();
    played.step(appendEntries(1, [0, 0], [1]));
    played.tick(200);
    expect(played.state).toMatchObject({ role: "follower", term: 1 });
    played.write();
    expect(played.tick(20)[0]).toBe("n1→n2 request-vote term 2 pre-vote last 1/1");
  });
});
