import { expect, test } from "bun:test";
import type { NodeId } from "../../src/raft/types.ts";
import type { Connection } from "../../src/rpc/connection.ts";
import type { HelloPurpose } from "../../src/rpc/hello.ts";
import type { Guest } from "../../src/server/guest.ts";
import { PeerAdmission } from "../../src/server/peer-admission.ts";

const idOf = (number: number) => number.toString(16).padStart(16, "0") as NodeId;

/** As much of a connection as the admission looks at. */
class FakeConnection {
  isClosed = false;
  readonly hello = {};
  readonly context: Partial<Guest>;

  constructor(nodeId: NodeId, purpose: HelloPurpose) {
    this.context = purpose === "form" ? { purpose } : { purpose, peer: nodeId };
  }

  close(): void {
    this.isClosed = true;
  }
}

function come(admission: PeerAdmission, nodeId: NodeId, purpose: HelloPurpose, isMember: boolean) {
  const connection = new FakeConnection(nodeId, purpose);
  const problem = admission.admit(connection as unknown as Connection<Guest>, nodeId, purpose, isMember, 8);
  const go = () => admission.gone(connection as unknown as Connection<Guest>);
  return { connection, problem, go };
}

test("of the connections of one node and lane the newest three stay", () => {
  const admission = new PeerAdmission();
  const all = Array.from({ length: 5 }, () => come(admission, idOf(1), "control", true));
  expect(all.map(({ problem }) => problem)).toEqual(new Array(5).fill(undefined));
  expect(all.map(({ connection }) => connection.isClosed)).toEqual([true, true, false, false, false]);
  expect(come(admission, idOf(1), "bulk", true).connection.isClosed).toBe(false);
  all[2]!.go();
  come(admission, idOf(1), "control", true);
  expect(all[3]!.connection.isClosed).toBe(false);
});

test("nodes that are no members share a few connections, and members find room beside them", () => {
  const admission = new PeerAdmission();
  const strangers = Array.from({ length: 9 }, (_, at) => come(admission, idOf(at), "control", false));
  expect(strangers.map(({ problem }) => problem).filter((problem) => problem !== undefined)).toEqual([
    "8 connections of nodes that are no members are open already",
  ]);
  expect(come(admission, idOf(99), "control", true).problem).toBeUndefined();
  strangers[0]!.go();
  expect(come(admission, idOf(98), "bulk", false).problem).toBeUndefined();
});

test("servers that ask about a formation are sixteen at most", () => {
  const admission = new PeerAdmission();
  const asking = Array.from({ length: 17 }, () => come(admission, idOf(1), "form", false));
  expect(asking.filter(({ problem }) => problem !== undefined)).toHaveLength(1);
  asking[0]!.go();
  expect(come(admission, idOf(1), "form", false).problem).toBeUndefined();
});
