import { expect, test } from "bun:test";
import { attemptTimeoutMs, sessionIdleMsMax } from "../../src/client/limits.ts";
import { Call, FakeCluster, type Request } from "./fake-cluster.ts";

function puts(cluster: FakeCluster, ...pairs: string[]): Call[] {
  return pairs.map((pair) => {
    const [key, value] = pair.split("=") as [string, string];
    return new Call(cluster, cluster.client.put(key, value));
  });
}

function results(calls: readonly Call[]): string[] {
  return calls.map((call) => call.result);
}

const answer = (request: Request) => request.ok();

test("what waits is sent one behind the other, without waiting for answers, and acknowledged later", async () => {
  const cluster = new FakeCluster(1);
  const [server] = cluster.servers;
  const calls = puts(cluster, "a=1", "b=2", "c=3");
  await cluster.runUntil(() => server!.requests.length === 3);
  for (const request of server!.requests) request.ok();
  expect(server!.take()).toEqual(["put a=1 s1#1", "put b=2 s1#2", "put c=3 s1#3"]);
  await cluster.runUntil(() => calls.every((call) => call.isSettled));
  expect(results(calls)).toEqual(["OK", "OK", "OK"]);
  server!.handle = answer;
  const last = new Call(cluster, cluster.client.delete("d"));
  await cluster.runUntil(() => last.isSettled);
  expect(last.result).toBe("true");
  expect(server!.requests[0]!.command!.session).toMatchObject({ sequence: 4, acknowledged: 3 });
  await cluster.close();
});

test("at most the window is under way", async () => {
  const cluster = new FakeCluster(1);
  const [server] = cluster.servers;
  const calls = puts(cluster, ...Array.from({ length: 300 }, (_, at) => `k${at}=v`));
  await cluster.run(50);
  expect(server!.requests.length).toBe(128);
  server!.handle = answer;
  for (const request of server!.requests) request.ok();
  await cluster.runUntil(() => calls.every((call) => call.result === "OK"));
  expect(server!.requests.map((request) => request.sequence)).toEqual(
    Array.from({ length: 300 }, (_, at) => at + 1),
  );
  await cluster.close();
});

test("ErrWrongLeader with a hint sends all of it to the leader, with the numbers it had", async () => {
  const cluster = new FakeCluster(3);
  const [first, second, third] = cluster.servers;
  first!.handle = (request) => request.refuse("ErrWrongLeader", { leader: third!.name });
  third!.handle = answer;
  const calls = puts(cluster, "a=1", "b=2");
  await cluster.runUntil(() => calls.every((call) => call.isSettled));
  expect(results(calls)).toEqual(["OK", "OK"]);
  expect(third!.take()).toEqual(["put a=1 s1#1", "put b=2 s1#2"]);
  expect(second!.take()).toEqual([]);
  expect(puts(cluster, "c=3").length).toBe(1);
  await cluster.runUntil(() => third!.requests.length === 1);
  expect(third!.take()).toEqual(["put c=3 s1#3"]);
  await cluster.close();
});

test("a leader that is not in the configuration is followed too", async () => {
  const cluster = new FakeCluster(1);
  const { FakeServer } = await import("./fake-cluster.ts");
  const other = new FakeServer(cluster, 6000);
  cluster.servers[0]!.handle = (request) => request.refuse("ErrWrongLeader", { leader: other.name });
  other.handle = answer;
  const calls = puts(cluster, "a=1");
  await cluster.runUntil(() => calls[0]!.isSettled);
  expect(other.take()).toEqual(["put a=1 s1#1"]);
  await cluster.close();
});

test("a leader change in the middle of a pipeline repeats what was not answered, and nothing else", async () => {
  const cluster = new FakeCluster(2);
  const [first, second] = cluster.servers;
  first!.handle = (request) => {
    if (request.sequence <= 2) request.ok();
    else request.refuse("CommitTimeout", { leader: second!.name });
  };
  second!.handle = answer;
  const calls = puts(cluster, "a=1", "b=2", "c=3", "d=4");
  await cluster.runUntil(() => calls.every((call) => call.isSettled));
  expect(results(calls)).toEqual(["OK", "OK", "OK", "OK"]);
  expect(second!.take()).toEqual(["put c=3 s1#3", "put d=4 s1#4"]);
  await cluster.close();
});

test("a connection that is lost after sending: the same command again, on a new connection", async () => {
  const cluster = new FakeCluster(1);
  const [server] = cluster.servers;
  server!.handle = (request) => (server!.hellos === 1 ? request.cut() : request.ok());
  const calls = puts(cluster, "a=1", "b=2");
  await cluster.runUntil(() => calls.every((call) => call.isSettled));
  expect(results(calls)).toEqual(["OK", "OK"]);
  expect(new Set(server!.requests.map((request) => request.text))).toEqual(
    new Set(["put a=1 s1#1", "put b=2 s1#2"]),
  );
  await cluster.close();
});

test("a session that ended before its write was ever proposed is replaced, and nobody notices", async () => {
  const cluster = new FakeCluster(1);
  const [server] = cluster.servers;
  server!.handle = answer;
  const first = puts(cluster, "a=1");
  await cluster.runUntil(() => first[0]!.isSettled);
  server!.take();
  server!.handle = (request) => {
    if (request.text.includes("s1#")) request.refuse("ErrSessionEnded");
    else request.ok();
  };
  const calls = puts(cluster, "b=2", "c=3");
  await cluster.runUntil(() => calls.every((call) => call.isSettled));
  expect(results(calls)).toEqual(["OK", "OK"]);
  expect(server!.take().slice(-2)).toEqual(["put b=2 s2#1", "put c=3 s2#2"]);
  await cluster.close();
});

test("a session that ended when its write may have been applied: the outcome is unknown, and it is not repeated", async () => {
  const cluster = new FakeCluster(1);
  const [server] = cluster.servers;
  let count = 0;
  server!.handle = (request) => request.refuse(count++ === 0 ? "CommitTimeout" : "ErrSessionEnded");
  const calls = puts(cluster, "a=1");
  await cluster.runUntil(() => calls[0]!.isSettled);
  expect(calls[0]!.result).toBe("unknown/ErrSessionEnded");
  expect(server!.take()).toEqual(["put a=1 s1#1", "put a=1 s1#1"]);
  server!.handle = answer;
  const next = puts(cluster, "b=2");
  await cluster.runUntil(() => next[0]!.isSettled);
  expect(server!.take()).toEqual(["put b=2 s2#1"]);
  await cluster.close();
});

test("when a session ends no later call overtakes an earlier one", async () => {
  const cluster = new FakeCluster(1);
  const [server] = cluster.servers;
  const calls = puts(cluster, "a=1", "a=2");
  await cluster.runUntil(() => server!.requests.length === 2);
  calls.push(...puts(cluster, "a=3"));
  await cluster.runUntil(() => server!.requests.length === 3);
  const [one, two, three] = server!.requests.splice(0);
  server!.handle = answer;
  // All were on their way in a session that is gone; the news comes one by one, and a fourth call in between.
  one!.refuse("ErrSessionEnded");
  await cluster.run(20);
  calls.push(...puts(cluster, "a=4"));
  await cluster.run(20);
  two!.refuse("ErrSessionEnded");
  await cluster.run(20);
  three!.refuse("ErrSessionEnded");
  await cluster.runUntil(() => calls.every((call) => call.isSettled));
  expect(results(calls)).toEqual(["OK", "OK", "OK", "OK"]);
  const values = server!.take().map((text) => text.slice(0, 7));
  expect(values).toEqual(["put a=1", "put a=2", "put a=3", "put a=4"]);
  await cluster.close();
});

test("a write that waits for news of an ended session holds back the calls after it", async () => {
  const cluster = new FakeCluster(1);
  const [server] = cluster.servers;
  let round = 0;
  server!.handle = (request) => {
    if (round === 0) request.refuse("CommitTimeout");
  };
  const calls = puts(cluster, "a=1", "a=2");
  await cluster.runUntil(() => server!.requests.length === 2);
  round = 1;
  await cluster.runUntil(() => server!.requests.length === 4);
  const [one, two] = server!.requests.splice(2);
  server!.take();
  one!.refuse("ErrSessionEnded");
  await cluster.run(5);
  calls.push(...puts(cluster, "a=3"));
  await cluster.run(20);
  expect(server!.take()).toEqual([]);
  two!.refuse("ErrSessionEnded");
  server!.handle = answer;
  await cluster.runUntil(() => calls.every((call) => call.isSettled));
  expect(results(calls)).toEqual(["unknown/ErrSessionEnded", "unknown/ErrSessionEnded", "OK"]);
  expect(server!.take()).toEqual(["put a=3 s2#1"]);
  await cluster.close();
});

test("a session that cannot be opened is dated anew, on a new connection, and not in a tight loop", async () => {
  const cluster = new FakeCluster(1);
  const [server] = cluster.servers;
  // The log's time has jumped by an hour since the client was told it.
  const early = new Call(cluster, cluster.client.get("x"));
  server!.handle = (request) => request.noKey();
  await cluster.runUntil(() => early.isSettled);
  const aheadMs = 3_600_000;
  server!.timeMs = () => cluster.clock.wallMs() + aheadMs;
  server!.handle = (request) => {
    const isStale = request.command!.session!.bornMs < cluster.clock.wallMs() + aheadMs - 600_000;
    if (isStale) request.refuse("ErrSessionEnded", { leader: server!.name });
    else request.ok();
  };
  const calls = puts(cluster, "a=1", "b=2");
  await cluster.runUntil(() => calls.every((call) => call.isSettled));
  expect(results(calls)).toEqual(["OK", "OK"]);
  expect(server!.hellos).toBe(2);

  server!.handle = (request) => request.refuse("ErrSessionEnded", { leader: server!.name });
  server!.take();
  const never = puts(cluster, "c=3");
  await cluster.run(6000);
  expect(never[0]!.result).toBe("not-done/Deadline");
  expect(server!.requests.length).toBeLessThan(100);
  await cluster.close();
});

test("a session that is dated by a follower with a wrong clock is dated by the leader's refusal, and written at once", async () => {
  for (const offMs of [61_000, -660_000]) {
    const cluster = new FakeCluster(2);
    const [follower, leader] = cluster.servers;
    const leaseMs = () => 5_000_000 + cluster.clock.monotonicMs();
    follower!.timeMs = () => leaseMs() + offMs;
    leader!.timeMs = follower!.timeMs;
    follower!.handle = (request) => request.refuse("ErrWrongLeader", { leader: leader!.name });
    leader!.handle = (request) => {
      const { bornMs } = request.command!.session!;
      const isDated = bornMs <= leaseMs() + 60_000 && bornMs >= leaseMs() - 600_000;
      if (isDated) request.ok();
      else request.refuse("ErrSessionEnded", { leader: leader!.name, timeMs: Math.floor(leaseMs()) });
    };
    const calls = puts(cluster, "a=1", "b=2");
    await cluster.runUntil(() => calls.every((call) => call.isSettled));
    expect(results(calls)).toEqual(["OK", "OK"]);
    expect(leader!.hellos).toBe(1);
    await cluster.close();
  }
});

test("a session that is dated by a server which knows no lease time never opens: no outcome of it is unknown", async () => {
  const cluster = new FakeCluster(2);
  const [stranger, leader] = cluster.servers;
  const leaseMs = () => 5_000_000 + cluster.clock.monotonicMs();
  const floorMs = 4_000_000;
  stranger!.timeMs = () => 0;
  leader!.timeMs = () => 0;
  // It has said hello a while ago, and says of what is sent to it that it may be applied yet.
  const early = new Call(cluster, cluster.client.get("x"));
  stranger!.handle = (request) => request.noKey();
  await cluster.runUntil(() => early.isSettled);
  await cluster.run(3000);
  stranger!.handle = (request) =>
    request.refuse("CommitTimeout", { leader: leader!.name, wasProposed: true });
  const applied: string[] = [];
  leader!.handle = (request) => {
    if (request.command!.session!.bornMs > floorMs) {
      applied.push(request.text);
      return request.ok();
    }
    request.refuse("ErrSessionEnded", { leader: leader!.name, timeMs: Math.floor(leaseMs()) });
  };
  const calls = puts(cluster, "a=1", "b=2");
  await cluster.runUntil(() => calls.every((call) => call.isSettled));
  expect(results(calls)).toEqual(["OK", "OK"]);
  expect(applied).toEqual(["put a=1 s1#1", "put b=2 s1#2"]);
  const born = new Set(stranger!.requests.map(({ command }) => command?.session?.bornMs));
  expect(born).toEqual(new Set([undefined, 0]));
  // From now on the client knows lease time, whatever the hello of its connection said: it needs no refusal to learn it.
  leader!.take();
  await cluster.run(sessionIdleMsMax + 1);
  const later = puts(cluster, "c=3");
  await cluster.runUntil(() => later[0]!.isSettled);
  expect([results(later), leader!.requests.length]).toEqual([["OK"], 1]);
  expect(leader!.requests[0]!.command!.session!.sequence).toBe(1);
  await cluster.close();
});

test("a write that is refused in the middle of a pipeline leaves a gap: what stands behind it moves, in order", async () => {
  const cluster = new FakeCluster(1);
  const [server] = cluster.servers;
  const applied: string[] = [];
  server!.handle = (request) => {
    if (request.key === "large") return request.refuse("ErrTooLarge");
    // As the state machine does it: behind the gap nothing can be applied.
    if (request.text.includes("s1#") && request.sequence > 2) return request.refuse("ErrOutOfOrder");
    applied.push(request.text);
    return request.ok();
  };
  const calls = puts(cluster, "a=1", "large=!", "b=2", "c=3");
  await cluster.runUntil(() => calls.every((call) => call.isSettled));
  expect(results(calls)).toEqual(["OK", "refused/ErrTooLarge", "OK", "OK"]);
  expect(applied).toEqual(["put a=1 s1#1", "put b=2 s2#1", "put c=3 s2#2"]);
  await cluster.close();
});

test("a refusal after an attempt that may have been proposed does not say that nothing happened, nor repeats others", async () => {
  const cluster = new FakeCluster(2);
  const [wide, narrow] = cluster.servers;
  // One server takes what another one finds too large: their limits differ. The first loses its leadership.
  wide!.handle = (request) => request.refuse("CommitTimeout", { leader: narrow!.name });
  narrow!.handle = (request) => {
    if (request.key === "large") request.refuse("ErrTooLarge");
    else request.ok();
  };
  const calls = puts(cluster, "large=!", "b=2");
  await cluster.runUntil(() => calls.every((call) => call.isSettled));
  expect(results(calls)).toEqual(["unknown/ErrTooLarge", "unknown/ErrTooLarge"]);
  // It may have been applied in the first session: it must not be sent in another one.
  await cluster.run(3000);
  expect(new Set(narrow!.take())).toEqual(new Set(["put large=! s1#1", "put b=2 s1#2"]));
  const next = puts(cluster, "c=3");
  await cluster.runUntil(() => next[0]!.isSettled);
  expect(narrow!.take()).toEqual(["put c=3 s2#1"]);
  await cluster.close();
});

test("a request that waits for a dial keeps the number it was given when its write moves on", async () => {
  const cluster = new FakeCluster(2);
  const [first, second] = cluster.servers;
  cluster.net.slowMsByPort.set(second!.address.port, 100);
  first!.handle = (request) => {
    if (request.command === undefined) request.refuse("ErrWrongLeader", { leader: second!.name });
  };
  second!.handle = (request) => (request.command === undefined ? request.noKey() : request.ok());
  const large = puts(cluster, "large=!");
  await cluster.runUntil(() => first!.requests.length === 1);
  // A read finds another leader: the next write goes there, and has to dial.
  const read = new Call(cluster, cluster.client.get("x"));
  await cluster.runUntil(() => first!.requests.length === 2);
  const [put] = first!.requests;
  await cluster.run(20);
  const calls = puts(cluster, "b=2");
  put!.refuse("ErrTooLarge");
  await cluster.runUntil(() => calls[0]!.isSettled);
  await cluster.run(20);
  expect(large[0]!.result).toBe("refused/ErrTooLarge");
  expect(second!.take().filter((text) => text.startsWith("put"))).toEqual(["put b=2 s1#2", "put b=2 s2#1"]);
  expect(read.isSettled).toBe(true);
  await cluster.close();
});

test("when nobody takes a write its deadline says that it was not done", async () => {
  const cluster = new FakeCluster(2, { timeoutMs: 700 });
  for (const server of cluster.servers) server.handle = (request) => request.refuse("ErrWrongLeader");
  const calls = puts(cluster, "a=1", "b=2");
  await cluster.runUntil(() => calls.every((call) => call.isSettled));
  expect(results(calls)).toEqual(["not-done/Deadline", "not-done/Deadline"]);
  expect(calls[0]!.message).toBe("Cannot put, and nothing was changed: ErrWrongLeader");
  expect(await calls[0]!.settledAtMs).toBeLessThan(730);
  await cluster.close();
});

test("when no server can be reached a write's deadline says that it was not done", async () => {
  const cluster = new FakeCluster(2, { timeoutMs: 700 });
  for (const server of cluster.servers) server.close();
  const calls = puts(cluster, "a=1");
  await cluster.runUntil(() => calls[0]!.isSettled);
  expect(calls[0]!.result).toBe("not-done/Deadline");
  expect(calls[0]!.message).toContain("nothing listens there");
  await cluster.close();
});

test("when a server took it and never answered its deadline says that the outcome is unknown", async () => {
  const cluster = new FakeCluster(1, { timeoutMs: 700 });
  const calls = puts(cluster, "a=1");
  await cluster.runUntil(() => calls[0]!.isSettled);
  expect(calls[0]!.result).toBe("unknown/Deadline");
  expect(await calls[0]!.settledAtMs).toBeGreaterThanOrEqual(700);
  await cluster.close();
});

test("a session whose last write has an unknown outcome is not used again", async () => {
  const cluster = new FakeCluster(1, { timeoutMs: 700 });
  const [server] = cluster.servers;
  const calls = puts(cluster, "a=1");
  await cluster.runUntil(() => calls[0]!.isSettled);
  expect(calls[0]!.result).toBe("unknown/Deadline");
  server!.take();
  server!.handle = answer;
  const next = puts(cluster, "b=2");
  await cluster.runUntil(() => next[0]!.isSettled);
  // In the first session it would stand behind a gap for ever if the first write was never applied.
  expect(server!.take()).toEqual(["put b=2 s2#1"]);
  await cluster.close();
});

test("a write that is sent late, by a slow dial, does not acknowledge its own result", async () => {
  const cluster = new FakeCluster(2);
  const [slow, fast] = cluster.servers;
  cluster.net.slowMsByPort.set(slow!.address.port, attemptTimeoutMs + 30);
  fast!.handle = (request) => {
    if (request.key !== "c") request.ok();
  };
  const calls = puts(cluster, "a=1");
  await cluster.run(60);
  calls.push(...puts(cluster, "b=2"));
  // The first attempt of "a" ends, and all go to the other server. The first attempt of "b" still waits for the dial.
  await cluster.runUntil(() => calls.every((call) => call.isSettled));
  puts(cluster, "c=3");
  await cluster.runUntil(() => slow!.requests.length > 0, 200);
  expect(slow!.requests[0]!.command!.session).toMatchObject({ sequence: 2, acknowledged: 1 });
  await cluster.close();
});

test("a write of an unknown outcome is decided before those after it, and both are told the truth", async () => {
  const cluster = new FakeCluster(1, { timeoutMs: 700 });
  const [server] = cluster.servers;
  const calls = puts(cluster, "a=1");
  await cluster.run(600);
  calls.push(...puts(cluster, "b=2"));
  await cluster.runUntil(() => calls[0]!.isSettled);
  server!.take();
  server!.handle = answer;
  await cluster.runUntil(() => calls[1]!.isSettled);
  expect(results(calls)).toEqual(["unknown/Deadline", "OK"]);
  // The first one has to be sent again: without it the second is a gap.
  expect(server!.take()).toEqual(["put a=1 s1#1", "put b=2 s1#2"]);
  await cluster.close();
});

test("a write that expires behind nobody leaves those after it in a new session, and they still go out", async () => {
  const cluster = new FakeCluster(1, { timeoutMs: 660 });
  const [server] = cluster.servers;
  server!.handle = (request) => request.refuse("ErrWrongLeader");
  const calls = puts(cluster, "a=1");
  await cluster.run(600);
  calls.push(...puts(cluster, "b=2"));
  await cluster.runUntil(() => calls[0]!.isSettled);
  server!.take();
  server!.handle = answer;
  await cluster.runUntil(() => calls[1]!.isSettled);
  expect(results(calls)).toEqual(["not-done/Deadline", "OK"]);
  expect(server!.take()).toEqual(["put b=2 s2#1"]);
  await cluster.close();
});

test("a write that expires between two rounds does not hide an earlier one of an unknown outcome: all still goes out", async () => {
  const cluster = new FakeCluster(1, { timeoutMs: 700 });
  const [server] = cluster.servers;
  const calls = puts(cluster, "a=1");
  await cluster.run(600);
  server!.handle = (request) => request.refuse("ErrWrongLeader");
  calls.push(...puts(cluster, "b=2"));
  await cluster.run(600);
  calls.push(...puts(cluster, "c=3"));
  await cluster.runUntil(() => calls[1]!.isSettled);
  server!.take();
  server!.handle = answer;
  await cluster.runUntil(() => calls[2]!.isSettled);
  expect(results(calls)).toEqual(["unknown/Deadline", "not-done/Deadline", "OK"]);
  expect(server!.take()).toEqual(["put a=1 s1#1", "put c=3 s2#1"]);
  await cluster.close();
});

test("a reply that cannot be read counts as none: the write is sent again under its number", async () => {
  const cluster = new FakeCluster(1);
  const [server] = cluster.servers;
  const bad = [[], [77], [2], [2, 99, 0, 0], [0, 0x80]];
  server!.handle = (request) => {
    const bytes = bad.shift();
    if (bytes === undefined) request.ok();
    else request.garbage(new Uint8Array(bytes));
  };
  const calls = puts(cluster, "a=1");
  await cluster.runUntil(() => calls[0]!.isSettled);
  expect(calls[0]!.result).toBe("OK");
  expect(new Set(server!.take())).toEqual(new Set(["put a=1 s1#1"]));
  await cluster.close();
});

test("a session that was idle for long is not used again", async () => {
  const cluster = new FakeCluster(1);
  const [server] = cluster.servers;
  server!.handle = answer;
  const first = puts(cluster, "a=1");
  await cluster.runUntil(() => first[0]!.isSettled);
  cluster.clock.run(300_001);
  const second = puts(cluster, "b=2");
  await cluster.runUntil(() => second[0]!.isSettled);
  expect(server!.take()).toEqual(["put a=1 s1#1", "put b=2 s2#1"]);
  await cluster.close();
});

test("close() rejects what waits: unknown what was sent, not done what was not, and nothing hangs", async () => {
  const cluster = new FakeCluster(1);
  const calls = puts(cluster, ...Array.from({ length: 130 }, (_, at) => `k${at}=v`));
  const read = new Call(cluster, cluster.client.get("x"));
  await cluster.run(20);
  const closing = cluster.client.close();
  await cluster.run(200);
  await closing;
  expect(calls.slice(0, 128).every((call) => call.result === "unknown/Closed")).toBe(true);
  expect(results(calls.slice(128))).toEqual(["not-done/Closed", "not-done/Closed"]);
  expect(read.result).toBe("not-done/Closed");
  const late = puts(cluster, "a=1");
  await cluster.run(1);
  expect(late[0]!.result).toBe("not-done/Closed");
  cluster.servers[0]!.close();
  await cluster.run(6000);
  expect(cluster.clock.pendingCount).toBe(0);
});

test("a value that fits no frame is refused here, and those behind it go on", async () => {
  const cluster = new FakeCluster(1);
  cluster.servers[0]!.handle = answer;
  const calls = [
    new Call(cluster, cluster.client.put("a", new Uint8Array(25 * 1024 * 1024))),
    ...puts(cluster, "b=2"),
  ];
  await cluster.runUntil(() => calls.every((call) => call.isSettled));
  expect(results(calls)).toEqual(["refused/ErrTooLarge", "OK"]);
  await cluster.close();
});

test("100,000 writes that expire together are all told, and none of it takes long", async () => {
  const cluster = new FakeCluster(1, { timeoutMs: 300 });
  cluster.servers[0]!.handle = (request) => request.refuse("ErrWrongLeader");
  const startedAt = performance.now();
  const outcomes = new Map<string, number>();
  const all = Array.from({ length: 100_000 }, () =>
    cluster.client.put("a", "1").catch((error: { outcome: string }) => {
      outcomes.set(error.outcome, (outcomes.get(error.outcome) ?? 0) + 1);
    }),
  );
  await cluster.run(400);
  await Promise.all(all);
  expect(outcomes.get("not-done")).toBe(100_000);
  expect(performance.now() - startedAt).toBeLessThan(3000);
  await cluster.close();
});
