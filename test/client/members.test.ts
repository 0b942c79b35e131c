import { expect, test } from "bun:test";
import { memberListOf } from "../../src/client/member-list.ts";
import { toUtf8 } from "../../src/lib/bytes.ts";
import { decodeChangeMembers } from "../../src/rpc/member-requests.ts";
import { method } from "../../src/rpc/method.ts";
import { Call, FakeCluster, type FakeServer, type Request } from "./fake-cluster.ts";

const ids = ["00000000000000a1", "00000000000000a2", "00000000000000a3"] as const;

/** What a node says of the members, of which the first leads. */
function membersJson(servers: readonly FakeServer[], isLeader: boolean, leader = servers[0]!.name): string {
  const members = servers.map((server, at) => ({
    nodeId: ids[at],
    address: server.name,
    role: "voter",
    ...(isLeader ? { match: 9, lag: at, active: true } : {}),
  }));
  const removed = [{ nodeId: "00000000000000a9", address: "fake:5009" }];
  return JSON.stringify({ clusterId: "c", leader, leaderId: ids[0], members, removed });
}

function tellMembers(server: FakeServer, isLeader: boolean, leader?: string): void {
  server.handle = (request) => request.ok(toUtf8(membersJson(server.cluster.servers, isLeader, leader)));
}

test("members() is what another node knows when no leader can be reached", async () => {
  const cluster = new FakeCluster(3);
  const [first, second, third] = cluster.servers as [FakeServer, FakeServer, FakeServer];
  first.close();
  tellMembers(second, false);
  tellMembers(third, false);
  const list = cluster.client.members();
  const call = new Call(cluster, list);
  await cluster.run(3000);
  expect(call.isSettled).toBe(true);
  expect((await list).members.map(({ match }) => match)).toEqual([undefined, undefined, undefined]);
  await cluster.close();
});

test("members() tells how far each one is, and the client knows them from then on", async () => {
  const cluster = new FakeCluster(3);
  const [first, second] = cluster.servers as [FakeServer, FakeServer];
  tellMembers(second, true, second.name);
  first.handle = (request) => request.ok(toUtf8(membersJson(cluster.servers, false, second.name)));
  const list = cluster.client.members();
  await cluster.runUntil(() => second.requests.length > 0);
  await cluster.run(5);
  expect(await list).toEqual({
    clusterId: "c",
    leader: "fake:5002",
    leaderId: ids[0],
    removed: [{ nodeId: "00000000000000a9", address: "fake:5009" }],
    members: [0, 1, 2].map((at) => ({
      nodeId: ids[at]!,
      address: `fake:${5001 + at}`,
      role: "voter",
      match: 9,
      lag: at,
      lagBytes: undefined,
      behind: undefined,
      isActive: true,
    })),
  });
  expect([first.take(), second.take()]).toEqual([["Members"], ["Members"]]);
  await cluster.close();
});

test("what a node says of members is taken if it is of the kind it should be", () => {
  const json = JSON.stringify({
    clusterId: 7,
    leader: "a:1\u001b[2J",
    leaderId: 8,
    removed: [{ nodeId: "1" }, 7, { nodeId: "2", address: "a:2" }],
    members: [
      { nodeId: "1", address: "a:1", role: "voter", match: "9", lag: 2 },
      { nodeId: "2", address: "a:2", role: "king" },
      { address: "a:3", role: "voter" },
      null,
    ],
  });
  const one = { nodeId: "1", address: "a:1", role: "voter", match: undefined, lag: 2 };
  expect(memberListOf(json)).toEqual({
    clusterId: "",
    leader: "a:1?[2J",
    leaderId: "",
    members: [one],
    removed: [{ nodeId: "2", address: "a:2" }],
  } as never);
  for (const text of ["null", "7", "[1]", '{"members":{}}'])
    expect(memberListOf(text)).toEqual({ clusterId: "", leader: "", leaderId: "", members: [], removed: [] });
});

test("a change of the members follows the leader, waits while another one is under way, and is sent as it was asked", async () => {
  const cluster = new FakeCluster(2);
  const [first, second] = cluster.servers as [FakeServer, FakeServer];
  first.handle = (request) => request.refuse("ErrWrongLeader", { leader: second.name });
  let busy = 3;
  const changes: unknown[] = [];
  second.handle = (request) => {
    if (busy-- > 0) return request.refuse("ErrBusy", { leader: second.name });
    changes.push(decodeChangeMembers(request.arguments!));
    setImmediate(() => request.ok());
  };
  const call = new Call(
    cluster,
    cluster.client.changeMembers({
      promote: [ids[2]],
      remove: [ids[0]],
      replace: [{ old: { nodeId: ids[1], address: "a:1" }, new: ids[0] }],
    }),
  );
  await cluster.runUntil(() => call.isSettled);
  expect(call.result).toBe("OK");
  const anywhere = (nodeId: string) => ({ nodeId, address: "" });
  expect(changes).toEqual([
    {
      promote: [anywhere(ids[2])],
      remove: [anywhere(ids[0])],
      replace: [{ old: { nodeId: ids[1], address: "a:1" }, new: anywhere(ids[0]) }],
    },
  ]);
  await cluster.close();
});

test("a change that takes seconds is waited for, and not sent again meanwhile", async () => {
  const cluster = new FakeCluster(1, { timeoutMs: 8000 });
  const asked: Request[] = [];
  cluster.servers[0]!.handle = (request) => void asked.push(request);
  const call = new Call(cluster, cluster.client.changeMembers({ remove: [ids[0]] }));
  await cluster.run(6000);
  expect(asked.length).toBe(1);
  asked[0]!.ok();
  await cluster.runUntil(() => call.isSettled);
  expect(call.result).toBe("OK");
  await cluster.close();
});

test("a change is refused, not done or unknown, as is true", async () => {
  const outcomes: string[] = [];
  const handlers: ((request: Request, count: number) => void)[] = [
    (request) => request.refuse("ErrMembers", { retryable: false }),
    (request) => request.refuse("ErrBusy"),
    () => {},
    (request) => request.noKey(),
    // Cut while it was under way: what the next one says of it proves nothing.
    (request, count) => (count === 1 ? request.cut() : request.refuse("ErrMembers", { retryable: false })),
  ];
  for (const handle of handlers) {
    const cluster = new FakeCluster(1, { timeoutMs: 500 });
    let count = 0;
    cluster.servers[0]!.handle = (request) => handle(request, ++count);
    const call = new Call(cluster, cluster.client.changeMembers({ remove: [ids[0]] }));
    await cluster.runUntil(() => call.isSettled);
    outcomes.push(call.result);
    await cluster.close();
  }
  expect(outcomes).toEqual([
    "refused/ErrMembers",
    "not-done/Deadline",
    "unknown/Deadline",
    "refused/ErrNoKey",
    "unknown/ErrMembers",
  ]);
});

test("a transfer names the node, or zeros for any", async () => {
  const cluster = new FakeCluster(1);
  const asked: string[] = [];
  cluster.servers[0]!.handle = (request) => {
    expect(request.method).toBe(method.transferLeader);
    asked.push(request.arguments!.id());
    request.ok();
  };
  for (const to of [undefined, ids[1]]) {
    const call = new Call(cluster, cluster.client.transferLeadership(to));
    await cluster.runUntil(() => call.isSettled);
    expect(call.result).toBe("OK");
  }
  expect(asked).toEqual(["0000000000000000", ids[1]]);
  await cluster.close();
});

test("what is no node id is refused before it leaves", async () => {
  const cluster = new FakeCluster(1);
  const call = new Call(cluster, cluster.client.changeMembers({ promote: ["a:1"] }));
  await cluster.runUntil(() => call.isSettled);
  expect(call.result).toBe("refused/ErrMembers");
  await cluster.close();
});
