import { expect, test } from "bun:test";
import type { Message, NodeId } from "../../src/raft/types.ts";
import type { Boot, ProcessStart } from "../../src/rpc/hello.ts";
import { MemberBoots, type MemberBootsOptions } from "../../src/server/member-boots.ts";
import { ManualClock } from "../rpc/memory-net.ts";

// Goal: one wrong member condemns nobody, nothing counts before it is remembered, and whoever runs the cluster is told when
// too few are left. Method: one member's MemberBoots over a core, a folder and connections that are the test's.

const idOf = (name: string) => name.repeat(16) as NodeId;
const [n1, n2, n3, n4] = [idOf("1"), idOf("2"), idOf("3"), idOf("4")];
const boot = (number: number, name: string): Boot => ({ number, id: name.repeat(16) });
const startOf = (of: Boot, term = 5): ProcessStart => ({ boot: of, term, index: 50 });

function newMember() {
  const failures: string[] = [];
  const lines: string[] = [];
  const known = new Map<NodeId, { boot: Boot; term: number; index: number }>();
  const waiting: (() => void)[] = [];
  const clock = new ManualClock();
  let isDurable = true;
  const memory = {
    of: (id: NodeId) => known.get(id),
    admit: (_: NodeId, __: Boot, ___: unknown, run: () => void) => run(),
    noteTerm: () => isDurable,
    noteIndex: () => {},
    whenDurable: (run: () => void) => waiting.push(run),
  };
  const configuration = { incoming: [n1, n2, n3], outgoing: [], learners: [n4] };
  const options = {
    ...{ clock, nodeId: n1, dataDir: "data", silenceMs: 1000 },
    folder: { boots: { boot: boot(1, "a"), holds: () => true }, memory, condemn: () => {} },
    raft: {
      ...{ configuration, progress: new Map(), isLeader: false, term: 5, forget: () => {} },
      getState: () => ({ term: 5, last: { index: 50, term: 5 }, commit: 50 }),
    },
    machine: { boots: new Map(), bootsChanges: 0 },
    driver: () => ({ isReady: false, schedule: () => {} }),
    isMember: () => true,
    nameOf: (id: NodeId) => `host${id[0]}`,
    links: { send: () => true, isConnected: () => true, hangUp: () => {} },
    admitted: () => {},
    log: (_: string, line: string) => lines.push(line),
    failed: (error: Error) => failures.push(error.message),
  };
  const boots = new MemberBoots(options as unknown as MemberBootsOptions);
  const durable = (is: boolean) => {
    isDurable = is;
    if (is) for (const run of waiting.splice(0)) run();
  };
  return { boots, failures, lines, known, clock, durable };
}

test("one member that does not lead condemns nobody, nor does a learner; the leader does, or a majority of the voters", () => {
  const one = newMember();
  for (let round = 0; round < 3; round++) one.boots.refusedBy(n2, false, "it is wrong");
  one.boots.refusedBy(n4, true, "it is wrong, and no voter");
  expect([one.failures, one.lines.length]).toEqual([[], 2]);
  one.boots.answered(n2, undefined);
  one.boots.refusedBy(n3, false, "it is wrong");
  expect(one.failures).toEqual([]);
  one.boots.refusedBy(n2, false, "it is right");
  expect(one.failures).toHaveLength(1);
  expect(one.failures[0]).toContain("A majority of the voters says: it is right");

  const other = newMember();
  other.boots.refusedBy(n2, true, "it knows");
  expect(other.failures).toHaveLength(1);
  expect(other.failures[0]).toContain("The leader, host2, says: it knows");
});

test("a vote or an acceptance counts, and leaves, when its term is remembered durably", () => {
  const { boots, clock, durable } = newMember();
  boots.met(n2, startOf(boot(1, "b")));
  clock.run(0);
  expect(boots.counts(n2, boot(1, "b").id)).toBe(true);
  const head = { from: n2, to: n1, term: 6 };
  const vote = { ...head, kind: "request-vote-reply", preVote: false, granted: true } as Message;
  const acceptance = { ...head, kind: "append-entries-reply", accepted: true } as Message;
  for (const message of [vote, acceptance]) {
    const later: string[] = [];
    durable(false);
    expect(boots.mayStep(message, boot(1, "b").id, ({ kind }) => later.push(`counts ${kind}`))).toBe(false);
    expect(boots.maySend({ ...message, from: n1, to: n2 }, ({ kind }) => later.push(`leaves ${kind}`))).toBe(
      false,
    );
    expect(later).toEqual([]);
    durable(true);
    expect(later).toEqual([`counts ${message.kind}`, `leaves ${message.kind}`]);
    expect(boots.mayStep(message, boot(1, "b").id, () => {})).toBe(true);
    expect(boots.mayStep(message, boot(1, "c").id, () => {})).toBe(false);
  }
});

test("when too few voters count each other, whoever runs the cluster is told the way out", () => {
  const { boots, clock, known, lines } = newMember();
  for (const id of [n2, n3]) known.set(id, { boot: boot(9, "f"), term: 9, index: 0 });
  boots.met(n2, startOf(boot(1, "b")));
  clock.run(0);
  expect(lines.some((line) => line.includes("Refused host2"))).toBe(true);
  expect(lines.some((line) => line.includes("voters are left"))).toBe(false);
  boots.met(n3, startOf(boot(1, "c")));
  clock.run(0);
  expect(lines.at(-1)).toContain("Only 1 of 3 voters are left that count each other, which is no majority");
});
