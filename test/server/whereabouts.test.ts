import { expect, test } from "bun:test";
import type { NodeId } from "../../src/raft/types.ts";
import type { Member } from "../../src/server/members.ts";
import { Whereabouts } from "../../src/server/whereabouts.ts";
import { ManualClock } from "../rpc/memory-net.ts";

const [own, one, two] = ["1", "2", "3"].map((digit) => digit.repeat(16)) as [NodeId, NodeId, NodeId];

class World {
  readonly clock = new ManualClock();
  members: Member[] = [own, one, two].map((nodeId, at) => ({
    nodeId,
    address: `a:${at + 1}`,
    role: "voter",
  }));
  readonly isMet = new Set<NodeId>();
  readonly said = new Map<NodeId, string>();
  changes = 0;
  readonly places: string[] = [];
  readonly whereabouts = new Whereabouts({
    env: {
      clock: this.clock,
      net: {
        listen: () => {
          throw new Error("it does not listen");
        },
        connect: (host, port) => {
          this.places.push(`${host}:${port}`);
          return { cancel: () => {} };
        },
      },
    },
    clusterId: "c".repeat(16),
    nodeId: own,
    address: { host: "a", port: 9 },
    listed: [9, 2, 7].map((port) => ({ host: "a", port })),
    members: () => this.members,
    isMet: (nodeId) => this.isMet.has(nodeId),
    saidBy: (nodeId) => this.said.get(nodeId),
    changed: () => this.changes++,
  });

  addresses(): string[] {
    return this.members.map((member) => this.whereabouts.addressOf(member));
  }
}

test("a member is looked for where it says that it is, unless it is met where it was", () => {
  const world = new World();
  world.whereabouts.met(one, "a:8");
  // This node knows itself where it is.
  expect(world.addresses()).toEqual(["a:9", "a:8", "a:3"]);
  world.isMet.add(two);
  world.whereabouts.met(two, "a:7");
  world.whereabouts.met("f".repeat(16) as NodeId, "a:7");
  world.whereabouts.met(one, "no address");
  expect(world.addresses()).toEqual(["a:9", "a:8", "a:3"]);
  expect(world.changes).toBe(1);
  world.whereabouts.stop();
});

test("who answers a dial that was meant for another one is there itself, and the missed one is where it says", () => {
  const world = new World();
  world.said.set(one, "a:3");
  world.whereabouts.missed(one, "a:2", two);
  expect(world.addresses()).toEqual(["a:9", "a:3", "a:2"]);
  world.whereabouts.missed(one, "a:3", undefined);
  expect(world.addresses()).toEqual(["a:9", "a:2", "a:2"]);
  world.whereabouts.stop();
});

test("while a member is missed the places are asked at which no member is looked for", () => {
  const world = new World();
  world.isMet.add(one).add(two);
  world.clock.run(2000);
  expect(world.places).toEqual([]);
  world.isMet.delete(two);
  world.clock.run(600);
  // a:1 was this node's own, and a:7 is listed only.
  expect(world.places.toSorted()).toEqual(["a:1", "a:7"]);
  world.whereabouts.stop();
});

test("that nobody is at a member's former address is no death when it has dialled from another one", () => {
  const world = new World();
  expect(world.whereabouts.isElsewhere(one, "a:2")).toBe(false);
  world.said.set(one, "a:2");
  expect(world.whereabouts.isElsewhere(one, "a:2")).toBe(false);
  world.said.set(one, "a:8");
  expect(world.whereabouts.isElsewhere(one, "a:2")).toBe(true);
  world.whereabouts.stop();
});
