/** Goal: whatever is asked for, never are there fewer or more voters than whoever asked has said. */
import { expect, test } from "bun:test";
import { Prng } from "../../src/env/prng.ts";
import type { NodeId } from "../../src/raft/types.ts";
import type { ChangeMembers, NamedMember } from "../../src/rpc/member-requests.ts";
import { planChange } from "../../src/server/member-change.ts";
import { type Member, type MemberRole, type Members, membersOf } from "../../src/server/members.ts";
import { afterJoint, withVoters } from "../../src/server/membership.ts";

const idOf = (number: number) => `${number}`.padStart(16, "0") as NodeId;
const addressOf = (number: number) => `sim:${7000 + number}`;

/** Nodes 1, 2, 3 with these roles, and 9, which was removed. */
function cluster(...roles: MemberRole[]): Members {
  const list = roles.map((role, at): Member => ({ nodeId: idOf(at + 1), address: addressOf(at + 1), role }));
  return membersOf(list, [{ nodeId: idOf(9), address: addressOf(9) }]);
}

const named = (number: number, address = ""): NamedMember => ({ nodeId: idOf(number), address });

function asked(change: Partial<ChangeMembers>): ChangeMembers {
  return { promote: [], remove: [], replace: [], ...change };
}

function replaced(members: Members, old: number, next: number): string {
  const plan = planChange(members, asked({ replace: [{ old: named(old), new: named(next) }] }));
  return plan.kind === "refused" ? plan.text : plan.kind;
}

test("a voter is replaced by a learner, or it was: all other pairs are refused with what is the case", () => {
  const members = cluster("voter", "voter", "learner", "learner");
  expect(replaced(members, 1, 3)).toBe("change");
  expect(replaced(members, 9, 1)).toBe("done");
  expect(replaced(members, 1, 2)).toContain("sim:7002 (0000000000000002) is a voter already");
  expect(replaced(members, 1, 1)).toContain("by itself");
  expect(replaced(members, 1, 9)).toContain("sim:7009 (0000000000000009): it was removed from the cluster");
  expect(replaced(members, 1, 8)).toContain("0000000000000008: it is no member");
  expect(replaced(members, 8, 3)).toContain("is a learner; the members are sim:7001");
  expect(replaced(members, 8, 1)).toContain("0000000000000008 is no member");
  expect(replaced(members, 3, 4)).toContain("one voter more");
  expect(replaced(members, 3, 1)).toContain("one voter more");
  expect(replaced(members, 9, 3)).toContain(
    "was removed already, and sim:7003 (0000000000000003) is a learner",
  );
  expect(replaced(members, 9, 9)).toContain("by itself");
});

test("in a joint configuration those that come count as voters, and those that go as gone", () => {
  const members = cluster("voter", "outgoing", "incoming");
  expect(replaced(members, 2, 3)).toBe("done");
  expect(replaced(members, 1, 2)).toContain("was removed");
  expect(replaced(members, 1, 3)).toContain("is a voter already");
});

test("a member that was named by an address has to be there", () => {
  const members = cluster("voter", "voter", "learner");
  for (const [address, kind] of [
    [addressOf(2), "change"],
    [addressOf(1), "refused"],
  ] as const) {
    expect(planChange(members, asked({ remove: [named(2, address)] })).kind).toBe(kind);
    expect(planChange(members, asked({ replace: [{ old: named(2, address), new: named(3) }] })).kind).toBe(
      kind,
    );
  }
  // Where a removed one was says nothing any more.
  expect(planChange(members, asked({ remove: [named(9, addressOf(1))] })).kind).toBe("done");
});

const any = (prng: Prng) => named(prng.pick([1, 2, 3, 4, 5, 8, 9]));
const some = <T>(prng: Prng, make: () => T): T[] =>
  Array.from({ length: prng.pick([0, 0, 1, 1, 2, 3]) }, make);

test("of a change that is made, or was, everything is so that was asked for, and nothing else", () => {
  const { SEED: asSeed } = process.env;
  const seed = Number(asSeed ?? crypto.getRandomValues(new Uint32Array(1))[0]);
  const prng = new Prng(seed);
  const kinds = { done: 0, change: 0, refused: 0 };
  for (let run = 0; run < 20_000; run++) {
    const members = cluster("voter", "voter", prng.pick(["voter", "learner"]), "learner", "learner");
    const change = asked({
      promote: some(prng, () => any(prng)),
      remove: prng.chance(1, 2) ? some(prng, () => any(prng)) : [],
      replace: some(prng, () => ({ old: any(prng), new: any(prng) })),
    });
    const plan = planChange(members, change);
    kinds[plan.kind]++;
    if (plan.kind === "refused") continue;
    const why = `seed ${seed}, run ${run}: ${JSON.stringify(change)}`;
    const after = plan.kind === "done" ? members : afterJoint(withVoters(members, plan));
    const votes = ({ nodeId }: NamedMember) => after.incoming.includes(nodeId as NodeId);
    const isThere = ({ nodeId }: NamedMember) => after.list.some((member) => member.nodeId === nodeId);
    expect(change.promote.every(votes), why).toBe(true);
    expect(change.remove.some(isThere), why).toBe(false);
    expect(
      change.replace.every((pair) => votes(pair.new) && !isThere(pair.old)),
      why,
    ).toBe(true);
    // Replacing alone leaves as many voters as there were.
    if (change.promote.length + change.remove.length === 0)
      expect(after.incoming.length, why).toBe(members.incoming.length);
    // Nobody is touched that was not named.
    const touched = [
      ...change.promote,
      ...change.remove,
      ...change.replace.flatMap((pair) => [pair.old, pair.new]),
    ];
    for (const { nodeId, role } of members.list)
      if (!touched.some((each) => each.nodeId === nodeId))
        expect(after.list.find((member) => member.nodeId === nodeId)?.role, why).toBe(role);
  }
  expect(Math.min(kinds.done, kinds.change, kinds.refused)).toBeGreaterThan(100);
});
