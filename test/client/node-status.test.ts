import { expect, test } from "bun:test";
import { displacedOf, nodeStatusOf } from "../../src/client/node-status.ts";

test("what a node says of itself is taken field by field, if it is of the kind it should be", () => {
  const said = {
    role: "leader",
    term: 3,
    leader: {},
    state: null,
    commit: "7",
    reachable: 0,
    address: 1,
    new: 1,
  };
  expect(nodeStatusOf("a:1", JSON.stringify(said))).toEqual({
    role: "leader",
    term: 3,
    address: "a:1",
    reachable: true,
  });
  for (const json of ["null", "7", "[1]", '"text"'])
    expect(nodeStatusOf("a:1", json)).toEqual({ address: "a:1", reachable: true });
  expect(() => nodeStatusOf("a:1", "{")).toThrow(SyntaxError);
});

test("what a node says of itself cannot control a terminal", () => {
  expect(nodeStatusOf("a:1", JSON.stringify({ state: "\u001b[2Jformed" })).state).toBe("?[2Jformed");
});

test("a leader's view of the others is taken in the same way", () => {
  const said = {
    snapshotIndex: 40,
    memberCount: 4,
    followers: [
      { nodeId: "a", address: "h:1", role: "learner", match: 7, lag: "2", state: "snap\u001bshot", new: 1 },
      null,
    ],
  };
  expect(nodeStatusOf("a:1", JSON.stringify(said))).toEqual({
    snapshotIndex: 40,
    memberCount: 4,
    followers: [{ nodeId: "a", address: "h:1", role: "learner", match: 7, state: "snap?shot" }, {}],
    address: "a:1",
    reachable: true,
  });
  expect(nodeStatusOf("a:1", '{"followers":7}')).toEqual({ address: "a:1", reachable: true });
});

test("a member at whose address another node answers is told of", () => {
  const follower = (nodeId: string, address: string) => ({ nodeId, address });
  const followers = [follower("b", "h:2"), follower("c", "h:2"), follower("d", "h:3"), follower("e", "h:4")];
  const nodes = [
    { address: "h:1", reachable: true, nodeId: "a", followers },
    { address: "h:2", reachable: true, nodeId: "c" },
    // Who does not answer, and who has no row, is missed for another reason.
    { address: "h:3", reachable: false },
  ];
  expect(displacedOf(nodes)).toEqual([
    {
      address: "h:2",
      reachable: false,
      nodeId: "b",
      error: "node b is expected at this address, and node c answers there",
    },
  ]);
});
