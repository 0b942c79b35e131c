import { expect, test } from "bun:test";
import type { Raft } from "../../src/raft/raft.ts";
import type { Entry, NodeId } from "../../src/raft/types.ts";
import { type Node, nodeId } from "./cluster.ts";
import { configurationOf, encodeConfiguration } from "./configuration-text.ts";
import { alwaysMeet } from "./dumb-quorum.ts";
import { MajorityChecker } from "./majority-checker.ts";
import { entry } from "./messages.ts";

/** As much of a node as the checker looks at: what is in force there, and the terms of its log. */
function fakeNode(text: string, terms: readonly number[], founding = "n1,n2,n3"): Node {
  const raft: Pick<Raft, "configuration" | "getState" | "entries"> = {
    configuration: configurationOf(text),
    getState: () => ({ firstIndex: 1, last: { index: terms.length, term: terms.at(-1) ?? 0 } }) as never,
    entries: (from) => [entry(from, terms[from - 1]!)],
  };
  return { raft, founding: configurationOf(founding) } as Node;
}

function check(last: Entry, decided: string | undefined, ...nodes: Node[]): void {
  const checker = new MajorityChecker(new Map<NodeId, Node>(nodes.map((node, at) => [nodeId(at + 1), node])));
  if (decided !== undefined)
    checker.decide({ index: 1, term: 1, kind: "config", data: encodeConfiguration(decided) });
  checker.check(last);
}

test("majorities meet when they have to", () => {
  const meet = (one: string, other: string) => alwaysMeet(configurationOf(one), configurationOf(other));
  for (const [one, other] of [
    ["n1,n2,n3", "n1,n2,n3,n4"],
    ["n1,n2,n3", "n4,n5,n6/n1,n2,n3/"],
    ["n4,n5,n6", "n4,n5,n6/n1,n2,n3/"],
    ["n4,n5,n6/n1,n2,n3/", "n7/n1,n2,n3/"],
  ] as const)
    expect(meet(one, other), `${one} and ${other}`).toBe(true);
  for (const [one, other] of [
    ["n1,n2,n3", "n4,n5,n6"],
    ["n1,n2,n3", "n1,n2,n3,n4,n5"],
    ["n1,n2,n3,n4,n5", "n1,n2"],
    ["n1,n2,n3", "n7/n4,n5,n6/"],
  ] as const)
    expect(meet(one, other), `${one} and ${other}`).toBe(false);
});

test("two majorities that share nobody, and two open changes, are seen at nodes that have all that is decided", () => {
  const last = entry(2, 1);
  check(last, undefined, fakeNode("n1,n2,n3", [1, 1]), fakeNode("n4/n1,n2,n3/", [1, 1, 1]));
  expect(() => check(last, undefined, fakeNode("n1,n2,n3", [1, 1]), fakeNode("n4", [1, 1, 1]))).toThrow(
    "no two majorities",
  );
  expect(() =>
    check(last, "n1,n2,n3", fakeNode("n4/n1,n2,n3/", [1, 1]), fakeNode("n5/n1,n2,n3/", [1, 1])),
  ).toThrow("one change at a time");
});

test("nodes that lack what is decided decide nothing any more: theirs may be as old as they like", () => {
  const last = entry(2, 2);
  check(last, "n4", fakeNode("n4", [1, 2]), fakeNode("n1,n2,n3", [1]), fakeNode("n7/n1,n2,n3/", [1, 1, 1]));
});
