import { describe, expect, test } from "bun:test";
import { Cluster, nodeId, termsOf } from "./cluster.ts";
import {
  accepted,
  appendEntries,
  heartbeat,
  heartbeatReply,
  n1,
  n2,
  n3,
  requestVote,
  voteReply,
} from "./messages.ts";
import { Played } from "./played.ts";

// One test for each rule of the paper (In Search of an Understandable Consensus Algorithm, extended version).

describe("terms", () => {
  test("5.1: a node that sees a later term takes it over and becomes a follower", () => {
    const played = new Played().lead();
    played.step(heartbeat(7));
    expect(played.state).toMatchObject({ role: "follower", term: 7, vote: undefined, leader: n2 });
    const candidate = new Played();
    candidate.tick(10);
    candidate.step(voteReply({ term: 1, preVote: true }));
    candidate.step(voteReply({ term: 5, granted: false }));
    expect(candidate.state).toMatchObject({ role: "follower", term: 5, leader: undefined });
  });

  test("5.1: a request of an old term is refused and tells the later term", () => {
    const played = new Played([1], { term: 3 });
    expect(played.step(requestVote({ term: 2, last: { index: 9, term: 2 } }))).toEqual([
      "n1→n2 request-vote-reply term 3 refused",
    ]);
    expect(played.step(requestVote({ term: 2, preVote: true }))).toEqual([
      "n1→n2 request-vote-reply term 3 pre-vote refused",
    ]);
    expect(played.step(appendEntries(2, [1, 1], [2]))).toEqual(["n1→n2 heartbeat-reply term 3 context 0"]);
    expect(played.step(heartbeat(2))).toEqual(["n1→n2 heartbeat-reply term 3 context 0"]);
    expect(termsOf(played.raft)).toEqual([1]);
    expect(played.state).toMatchObject({ term: 3, leader: undefined });
  });

  test("5.1: an old leader steps down when it is told of a later term", () => {
    const played = new Played().lead();
    played.step(heartbeatReply(9));
    expect(played.state).toMatchObject({ role: "follower", term: 9 });
  });

  test("figure 2: term and vote are on disk before anything that depends on them leaves", () => {
    const played = new Played();
    expect(played.step(requestVote({ term: 1 }))).toEqual([]);
    expect(played.write()).toEqual(["n1→n2 request-vote-reply term 1 granted"]);
    expect(played.cluster.node(n1).hardState).toEqual({ term: 1, vote: n2, commit: 0 });
  });

  test("a message that names its receiver as its sender is ignored", () => {
    const played = new Played().lead();
    for (const message of [heartbeat(1), appendEntries(1, [0, 0], [1]), voteReply({ term: 1 })])
      expect(played.step({ ...message, from: n1 })).toEqual([]);
    expect(played.state.role).toBe("leader");
  });

  test("messages for others are ignored", () => {
    const played = new Played([1]);
    for (const message of [heartbeat(5), requestVote({ term: 5, last: { index: 9, term: 4 } })])
      expect(played.step({ ...message, to: n3 })).toEqual([]);
    expect(played.state).toMatchObject({ term: 1, leader: undefined });
  });
});

describe("strangers: nodes that the own configuration does not name", () => {
  const stranger = nodeId(9);

  test("6: a leader that is not known yet is followed: the entry that names it may be among what it sends", () => {
    const played = new Played([1]);
    played.step({ ...appendEntries(5, [1, 1], [5]), from: stranger });
    expect(played.state).toMatchObject({ role: "follower", term: 5, leader: stranger, last: { index: 2 } });
    expect(played.write()).toEqual(["n1→n9 append-entries-reply term 5 accepted 2"]);
  });

  test("6: a candidate that is not known yet gets a vote, by the same rules as anybody", () => {
    const played = new Played([1, 3]);
    const asked = { term: 5, from: stranger, last: { index: 2, term: 3 } };
    expect(played.step(requestVote({ ...asked, preVote: true }))).toEqual([
      "n1→n9 request-vote-reply term 5 pre-vote granted",
    ]);
    played.step(requestVote(asked));
    expect(played.write()).toEqual(["n1→n9 request-vote-reply term 5 granted"]);
    expect(played.step(requestVote({ ...asked, from: n3 }))).toEqual([
      "n1→n3 request-vote-reply term 5 refused",
    ]);
    played.step(requestVote({ ...asked, term: 6, last: { index: 1, term: 3 } }));
    expect(played.write()).toEqual(["n1→n9 request-vote-reply term 6 refused"]);
  });

  test("6.4: a candidate that is not known unseats no leader that is heard", () => {
    const played = new Played();
    played.step(heartbeat(1));
    played.write();
    const asked = requestVote({ term: 9, from: stranger, last: { index: 9, term: 8 } });
    expect([...played.step(asked), ...played.step({ ...asked, preVote: true })]).toEqual([]);
    expect(played.state).toMatchObject({ term: 1, leader: n2 });
  });

  test("6: their votes make no leader", () => {
    const played = new Played();
    played.tick(10);
    played.step(voteReply({ term: 1, preVote: true, from: stranger }));
    expect(played.state.role).toBe("pre-candidate");
    played.step(voteReply({ term: 1, preVote: true }));
    played.write();
    played.step(voteReply({ term: 1, from: stranger }));
    expect(played.state.role).toBe("candidate");
  });

  test("6: what they hold, and that they answer, counts for no commit, no read and no quorum heard", () => {
    const played = new Played().lead();
    played.write();
    played.step({ ...accepted(1, 1), from: stranger });
    expect(played.state.commit).toBe(0);
    played.step(accepted(1, 1));
    played.cluster.readIndex(n1, 1);
    played.step({ ...heartbeatReply(1, 1), from: stranger });
    expect(played.cluster.node(n1).reads).toEqual([]);
    played.tick(10);
    played.step({ ...heartbeatReply(1, 1), from: stranger });
    played.tick(10);
    expect(played.state.role).toBe("follower");
  });
});

describe("elections", () => {
  test("5.2: a node starts as a follower, and campaigns when it hears nobody for an election timeout", () => {
    const played = new Played();
    expect(played.state.role).toBe("follower");
    expect(played.tick(9)).toEqual([]);
    expect(played.tick(1)).toHaveLength(2);
    expect(played.state.role).toBe("pre-candidate");
  });

  test("5.2: a follower that hears a leader, or votes, waits anew", () => {
    for (const message of [heartbeat(1), appendEntries(1, [0, 0], []), requestVote({ term: 1 })]) {
      const played = new Played();
      played.tick(9);
      played.step(message);
      played.write();
      played.tick(9);
      expect(played.state.role).toBe("follower");
      played.tick(1);
      expect(played.state.role).toBe("pre-candidate");
    }
  });

  test("5.2: a follower that votes in a term that it knew already waits anew", () => {
    const played = new Played([1, 2]);
    // A candidate whose log is too short: only its term is taken over.
    played.step({ ...requestVote({ term: 5, last: { index: 1, term: 1 } }), from: n3 });
    played.write();
    played.tick(9);
    expect(played.state).toMatchObject({ role: "follower", term: 5, vote: undefined });
    played.step(requestVote({ term: 5, last: { index: 2, term: 2 } }));
    played.write();
    expect(played.state).toMatchObject({ term: 5, vote: n2 });
    played.tick(9);
    expect(played.state.role).toBe("follower");
    played.tick(1);
    expect(played.state.role).toBe("pre-candidate");
  });

  test("5.2: a candidate raises its term, votes for itself, and asks all others", () => {
    const played = new Played([1, 1]);
    played.tick(10);
    played.step(voteReply({ term: 2, preVote: true }));
    expect(played.state).toMatchObject({ role: "candidate", term: 2, vote: n1 });
    expect(played.write()).toEqual([
      "n1→n2 request-vote term 2 last 2/1",
      "n1→n3 request-vote term 2 last 2/1",
    ]);
  });

  test("5.2: a majority of the same term makes a leader; its own vote counts only when it is durable", () => {
    const played = new Played();
    played.tick(10);
    played.step(voteReply({ term: 1, preVote: true }));
    played.step(voteReply({ term: 1 }));
    expect(played.state.role).toBe("candidate");
    played.write();
    expect(played.state.role).toBe("leader");
  });

  test("5.2: votes of another term, refusals and repetitions make no leader", () => {
    const cluster = new Cluster(5, { isPlayed: true });
    cluster.tick(n1, 20);
    for (const from of [n2, n3])
      cluster.run(n1, (raft) => raft.step({ ...voteReply({ term: 1, preVote: true }), from }));
    cluster.finishWrite(n1);
    expect(cluster.raft(n1).getState()).toMatchObject({ role: "candidate", term: 1 });
    cluster.tick(n1, 10);
    for (const from of [n2, n3])
      cluster.run(n1, (raft) => raft.step({ ...voteReply({ term: 2, preVote: true }), from }));
    cluster.finishWrite(n1);
    expect(cluster.raft(n1).getState()).toMatchObject({ role: "candidate", term: 2 });
    const votes = [
      voteReply({ term: 1, from: n2 }),
      voteReply({ term: 1, from: n3 }),
      voteReply({ term: 2, from: n2 }),
      voteReply({ term: 2, from: n2 }),
      voteReply({ term: 2, from: n3, granted: false }),
      voteReply({ term: 2, from: n3 }),
    ];
    for (const vote of votes) cluster.run(n1, (raft) => raft.step(vote));
    expect(cluster.raft(n1).getState().role).toBe("candidate");
    cluster.run(n1, (raft) => raft.step(voteReply({ term: 2, from: nodeId(4) })));
    expect(cluster.raft(n1).getState().role).toBe("leader");
  });

  test("5.2: a vote of its own that becomes durable after the campaign was lost counts for nothing", () => {
    const played = new Played();
    played.tick(10);
    played.step(voteReply({ term: 1, preVote: true }));
    played.step(heartbeat(1));
    played.step(voteReply({ term: 1 }));
    played.write();
    expect(played.state).toMatchObject({ role: "follower", leader: n2, vote: n1 });
  });

  test("5.2: requests of a campaign that is over do not leave when its write is done", () => {
    const played = new Played();
    played.tick(10);
    played.step(voteReply({ term: 1, preVote: true }));
    played.step(heartbeat(2));
    expect(played.write()).toEqual([]);
  });

  test("5.2: a candidate that hears the leader of its term follows it", () => {
    const played = new Played();
    played.tick(10);
    played.step(voteReply({ term: 1, preVote: true }));
    played.step(appendEntries(1, [0, 0], [1]));
    expect(played.state).toMatchObject({
      role: "follower",
      leader: n2,
      vote: n1,
      last: { index: 1, term: 1 },
    });
  });

  test("5.2: one vote a term, first come first served; the same candidate is told again, also after a restart", () => {
    const played = new Played();
    played.step(requestVote({ term: 1 }));
    expect(played.write()).toEqual(["n1→n2 request-vote-reply term 1 granted"]);
    expect(played.step(requestVote({ term: 1, from: n3 }))).toEqual([
      "n1→n3 request-vote-reply term 1 refused",
    ]);
    played.cluster.crash(n1);
    played.cluster.restart(n1);
    expect(played.step(requestVote({ term: 1, from: n3 }))).toEqual([
      "n1→n3 request-vote-reply term 1 refused",
    ]);
    expect(played.step(requestVote({ term: 1 }))).toEqual(["n1→n2 request-vote-reply term 1 granted"]);
  });

  test("5.2: nobody gets a vote in a term whose leader is known", () => {
    const played = new Played();
    played.step(heartbeat(1));
    played.write();
    expect(played.step(requestVote({ term: 1, from: n3, last: { index: 9, term: 1 } }))).toEqual([
      "n1→n3 request-vote-reply term 1 refused",
    ]);
  });

  test("5.2: election timeouts are drawn from the whole range, anew for each campaign", () => {
    const drawn: [number, number][] = [];
    const wanted = [12, 19, 10, 15, 20];
    const chance = {
      int: (min: number, max: number) => wanted[drawn.push([min, max]) - 1] ?? 11,
    };
    const cluster = new Cluster(3, { chance: (id) => (id === n1 ? chance : { int: (min) => min }) });
    const waits: number[] = [];
    for (let ticks = 1; waits.length < 4 && ticks < 100; ticks++) {
      cluster.tick(n1);
      if (cluster.network.some(({ from }) => from === n1)) {
        waits.push(ticks);
        ticks = 0;
        cluster.network = [];
      }
    }
    expect(waits).toEqual([12, 19, 10, 15]);
    expect(drawn[0]).toEqual([10, 20]);
  });

  test("5.2: a new leader sends heartbeats at once, and then in each interval, also when it has nothing to say", () => {
    const played = new Played().lead();
    played.write();
    played.step(accepted(1, 1));
    played.step({ ...accepted(1, 1), from: n3 });
    expect(played.tick(1)).toEqual([]);
    expect(played.tick(1)).toEqual([
      "n1→n2 heartbeat term 1 commit 1 context 0",
      "n1→n3 heartbeat term 1 commit 1 context 0",
    ]);
  });

  test("5.4.1: a vote goes only to a log that is at least as up to date: the later last term, then the longer log", () => {
    const cases: readonly (readonly [index: number, term: number, granted: boolean])[] = [
      [2, 3, true],
      [1, 4, true],
      [3, 3, true],
      [1, 3, false],
      [9, 2, false],
    ];
    for (const preVote of [false, true])
      for (const [index, term, granted] of cases) {
        const played = new Played([1, 3]);
        const sent = [
          ...played.step(requestVote({ term: 5, preVote, last: { index, term } })),
          ...played.write(),
        ];
        expect(sent[0], `last ${index}/${term}`).toEndWith(granted ? "granted" : "refused");
        expect(played.state.vote).toBe(granted && !preVote ? n2 : undefined);
      }
  });
});

describe("replication", () => {
  test("5.3: a follower without the entry before refuses, says where it may agree, and takes nothing", () => {
    const played = new Played([1, 1, 2]);
    expect(played.step(appendEntries(5, [7, 4], [5]))).toEqual([
      "n1→n2 append-entries-reply term 5 refused 7 hint 3/2",
    ]);
    expect(played.step(appendEntries(5, [3, 3], [5]))).toEqual([
      "n1→n2 append-entries-reply term 5 refused 3 hint 3/2",
    ]);
    expect(played.step(appendEntries(5, [3, 1], [5]))).toEqual([
      "n1→n2 append-entries-reply term 5 refused 3 hint 2/1",
    ]);
    expect(termsOf(played.raft)).toEqual([1, 1, 2]);
  });

  test("5.3: an entry that conflicts goes, with all that follow it, and the leader's take their place", () => {
    const played = new Played([1, 1, 2, 2, 2]);
    played.step(appendEntries(4, [2, 1], [3, 4]));
    expect(termsOf(played.raft)).toEqual([1, 1, 3, 4]);
    expect(played.state.durable).toBe(2);
    expect(played.write()).toEqual(["n1→n2 append-entries-reply term 4 accepted 4"]);
    expect(played.cluster.node(n1).disk.lastIndex).toBe(4);
  });

  test("5.3: entries that are there already are not replaced, nor what follows them", () => {
    const played = new Played([1, 1, 2, 2]);
    played.step(appendEntries(4, [0, 0], [1, 1]));
    played.step(appendEntries(4, [2, 1], []));
    expect(termsOf(played.raft)).toEqual([1, 1, 2, 2]);
    expect(played.write()).toEqual([
      "n1→n2 append-entries-reply term 4 accepted 2",
      "n1→n2 append-entries-reply term 4 accepted 2",
    ]);
    expect(played.step(appendEntries(4, [1, 1], [1, 2, 4]))).toEqual([]);
    expect(termsOf(played.raft)).toEqual([1, 1, 2, 4]);
  });

  test("5.3: the commit of a message is believed only as far as the message verifies, and never goes back", () => {
    const played = new Played([1, 1, 1]);
    played.step(appendEntries(2, [1, 1], [], 3));
    expect(played.state.commit).toBe(1);
    played.step(appendEntries(2, [1, 1], [1, 2], 2));
    expect(played.state.commit).toBe(2);
    played.step(appendEntries(2, [1, 1], [1], 1));
    expect(played.state.commit).toBe(2);
  });

  test("5.3: a leader appends, replicates at once, and commits when a majority holds the entry durably", () => {
    const played = new Played().lead();
    played.step(accepted(1, 0));
    played.write();
    expect(played.raft.getState().last).toEqual({ index: 1, term: 1 });
    played.cluster.propose(n1, "x");
    expect(played.take()).toContain("n1→n2 append-entries term 1 prev 1/1 entries 2 commit 0");
    played.step(accepted(1, 2));
    expect(played.state.commit).toBe(1);
    played.write();
    expect(played.state.commit).toBe(2);
    expect(played.cluster.node(n1).applied.map(({ kind }) => kind)).toEqual(["noop", "command"]);
  });

  test("5.3: late and repeated replies neither lower match nor send entries again", () => {
    const played = new Played().lead();
    played.write();
    for (const text of ["a", "b", "c"]) played.cluster.propose(n1, text);
    played.step(accepted(1, 4));
    played.take();
    expect(played.step(accepted(1, 2))).toEqual([]);
    expect(played.step({ ...accepted(1, 3), accepted: false, hint: { index: 0, term: 0 } })).toEqual([]);
    expect(played.raft.progress.get(n2)).toMatchObject({ match: 4, next: 5, state: "replicate" });
  });

  test("a reply that claims more than the leader's log holds is not believed", () => {
    const played = new Played().lead();
    played.write();
    played.step(accepted(1, 99));
    expect(played.state.commit).toBe(0);
    expect(played.raft.progress.get(n2)!.match).toBe(0);
  });

  test("5.4.2: entries of old terms are committed only by one of the leader's own term", () => {
    const played = new Played([1, 2, 2], {}, { appendBytesMax: 1 }).lead();
    played.write();
    played.step(accepted(3, 3));
    expect(played.state).toMatchObject({ durable: 4, commit: 0 });
    played.step(accepted(3, 4));
    expect(played.state.commit).toBe(4);
  });

  test("5.4.3: a leader's first entry is of its own term, after all it has", () => {
    const played = new Played([1, 2], { term: 6 }).lead();
    expect(termsOf(played.raft)).toEqual([1, 2, 7]);
  });

  test("5.5: requests that come twice do no harm", () => {
    const played = new Played();
    const message = appendEntries(1, [0, 0], [1, 1], 1);
    for (let i = 0; i < 3; i++) played.step(message);
    expect(termsOf(played.raft)).toEqual([1, 1]);
    expect(played.write()).toEqual(Array(3).fill("n1→n2 append-entries-reply term 1 accepted 2"));
    expect(played.step(message)).toEqual(["n1→n2 append-entries-reply term 1 accepted 2"]);
  });

  test("a proposal is refused by a follower, which names the leader", () => {
    const played = new Played();
    played.step(heartbeat(1));
    expect(played.cluster.propose(n1, "x")).toEqual({ ok: false, reason: "not-leader", leader: n2 });
  });

  test("the entries of older terms that a leader commits make no room for new proposals", () => {
    const played = new Played([1, 1, 1, 1], {}, { uncommittedBytesMax: 3 }).lead();
    played.write();
    played.cluster.propose(n1, "aaaa");
    expect(played.cluster.propose(n1, "b")).toMatchObject({ ok: false, reason: "busy" });
    played.step(accepted(2, 5));
    expect(played.state.applied).toBe(5);
    expect(played.cluster.propose(n1, "b")).toMatchObject({ ok: false, reason: "busy" });
    played.write();
    played.step(accepted(2, 6));
    expect(played.cluster.propose(n1, "b")).toMatchObject({ ok: true });
  });
});
