import { expect, test } from "bun:test";
import type { NodeId } from "../../src/raft/types.ts";
import { decodeMembers, encodeMembers, type Member, membersOf, noMembers } from "../../src/server/members.ts";
import { withVoters } from "../../src/server/membership.ts";

const idOf = (number: number) => number.toString(16).padStart(16, "0") as NodeId;

test("of those that were removed the last 64 are remembered, in the order in which they went", () => {
  let members = noMembers;
  for (let number = 1; number <= 100; number++) {
    const learner: Member = { nodeId: idOf(number), address: `h:${number}`, role: "learner" };
    members = withVoters(membersOf([...members.list, learner], members.removed), {
      promote: [],
      remove: [learner.nodeId],
    });
    members = decodeMembers(encodeMembers(members));
  }
  expect(members.removed.map(({ nodeId }) => nodeId)).toEqual(
    Array.from({ length: 64 }, (_, at) => idOf(37 + at)),
  );
});
