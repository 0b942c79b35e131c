/** Goal: who asks at an unlucky moment is told to ask again, not that what he wants is wrong. */
import { expect, test } from "bun:test";
import { ByteReader, ByteWriter } from "../../src/lib/codec.ts";
import type { NodeId } from "../../src/raft/types.ts";
import { encodeChangeMembers, encodeJoin } from "../../src/rpc/member-requests.ts";
import { method } from "../../src/rpc/method.ts";
import { MemberRequests, type MemberRequestsOptions } from "../../src/server/member-requests.ts";
import { membersOf } from "../../src/server/members.ts";

/** A driver that notes what it is asked to confirm. */
function confirming(contexts: number[]) {
  return { isReady: true, readIndex: (context: number) => contexts.push(context) > 0, schedule: () => {} };
}

test("who asks to be let in right when a joint configuration was decided is told to try again", () => {
  const statuses: string[] = [];
  const contexts: number[] = [];
  const joint = membersOf(
    [
      { nodeId: "1".repeat(16) as NodeId, address: "sim:7001", role: "voter" },
      { nodeId: "2".repeat(16) as NodeId, address: "sim:7002", role: "outgoing" },
    ],
    [],
  );
  const requests = new MemberRequests({
    clock: { monotonicMs: () => 0 },
    members: () => joint,
    raft: { isSettled: true, getState: () => ({ last: { index: 0, term: 0 }, durable: 0 }) },
    driver: {
      ...confirming(contexts),
      changeConfiguration: () => ({
        ok: false,
        reason: "illegal",
        text: "the core takes only the end of it",
      }),
    },
    replies: { refuse: (_: unknown, status: string) => statuses.push(status) },
  } as unknown as MemberRequestsOptions);
  const body = new ByteWriter();
  encodeJoin(body, { nodeId: "3".repeat(16), address: "sim:7003" });
  const replyTo = { method: method.join, requestId: 1, connection: undefined as never };
  requests.dispatch(replyTo, new ByteReader(body.take()), 1000);
  for (const context of contexts) requests.readable(context);
  expect(statuses).toEqual(["ErrBusy"]);
});

test("there is an end to those who may wait for a change, and to what one may ask for", () => {
  const statuses: string[] = [];
  const contexts: number[] = [];
  const requests = new MemberRequests({
    clock: { monotonicMs: () => 0 },
    members: () => membersOf([{ nodeId: "1".repeat(16) as NodeId, address: "sim:7001", role: "voter" }], []),
    raft: { isSettled: false },
    driver: confirming(contexts),
    replies: {
      refuse: (_: unknown, status: string) => statuses.push(status),
      refuseAsBusy: () => statuses.push("ErrBusy"),
    },
  } as unknown as MemberRequestsOptions);
  const ask = (ids: readonly string[]) => {
    const body = new ByteWriter();
    const remove = ids.map((nodeId) => ({ nodeId, address: "" }));
    encodeChangeMembers(body, { promote: [], remove, replace: [] });
    const replyTo = { method: method.changeMembers, requestId: 1, connection: undefined as never };
    requests.dispatch(replyTo, new ByteReader(body.take()), 86_400_000);
  };
  for (let count = 0; count < 1000; count++) {
    ask(["2".repeat(16)]);
    if (count % 2 === 0) for (const context of contexts.splice(0)) requests.readable(context);
  }
  expect(statuses.length).toBeGreaterThan(500);
  expect(new Set(statuses)).toEqual(new Set(["ErrBusy"]));
  const many = Array.from({ length: 100_000 }, (_, at) => `${at}`.padStart(16, "0"));
  expect(() => ask(many)).toThrow("the members to change are more than");
});

test("a leader that was deposed and does not know it says nothing final: who asks hears that it is no leader", () => {
  const told: string[] = [];
  const contexts: number[] = [];
  const requests = new MemberRequests({
    clock: { monotonicMs: () => 0 },
    members: () =>
      membersOf(
        [{ nodeId: "1".repeat(16) as NodeId, address: "sim:7001", role: "voter" }],
        [{ nodeId: "2".repeat(16) as NodeId, address: "sim:7002" }],
      ),
    raft: { isSettled: true, getState: () => ({ last: { index: 0, term: 0 }, durable: 0 }) },
    driver: confirming(contexts),
    replies: {
      refuse: (_: unknown, status: string) => told.push(status),
      refuseAsFollower: () => told.push("ErrWrongLeader"),
    },
  } as unknown as MemberRequestsOptions);
  const body = new ByteWriter();
  encodeJoin(body, { nodeId: "2".repeat(16), address: "sim:7002" });
  const ask = () => {
    const replyTo = { method: method.join, requestId: 1, connection: undefined as never };
    requests.dispatch(replyTo, new ByteReader(body.view()), 1000);
  };
  ask();
  expect(told).toEqual([]);
  requests.lostLeadership();
  expect(told).toEqual(["ErrWrongLeader"]);
  ask();
  for (const context of contexts) requests.readable(context);
  expect(told).toEqual(["ErrWrongLeader", "ErrMembers"]);
});
