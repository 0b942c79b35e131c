import { expect, test } from "bun:test";
import { nodeStatusOf } from "../../src/client/node-status.ts";

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
